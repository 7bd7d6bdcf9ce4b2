------------------------------ MODULE Replication ------------------------------
(* In-sync replication of one partition, as engine/trilith/replication builds it *)
(* (DESIGN section 4). README.md says what is abstracted, and names the code.    *)
EXTENDS Naturals, Sequences, FiniteSets, TLC

CONSTANTS
    Nodes,          \* three replicas, one a zone
    First,          \* the one that leads at first; the others are alike
    Lease,          \* ticks that a lease lasts
    MaxRevision,    \* descriptors in the coordinator's history, the first included
    MaxWrites, MaxCrashes, MaxRecoveries,
    MaxTorn,        \* restarts after which the end of a journal is found torn
    Plan,           \* the kinds of swaps in their order, or <<>>: any
    Without         \* the protections that a mutant leaves out

VARIABLES
    history,        \* the coordinator: every descriptor there was, in order
    known,          \* node -> the revision that it knows
    epoch,          \* node -> the highest epoch adopted (journaled)
    log,            \* node -> entries [epoch, write]
    commit,         \* node -> commit index = applied index
    leads,          \* node -> whether it believes that it leads, in epoch[node]
    led,            \* node -> the last epoch that it led, ever (history, for `Confirmed`)
    follows,        \* node -> whose appends and grants it takes
    grant,          \* node -> ticks that its in-sync grant still holds; 0: none
    promise,        \* leader -> follower -> ticks that the promise not to take over still holds
    match,          \* leader -> follower -> acknowledged index, in this epoch; 0: no word yet
    blocked,        \* leader -> ticks during which it commits nothing
    waits,          \* leader -> ticks during which it does not shrink the in-sync set
    acked,          \* <<epoch, index>> of every write that a client was told is done
    writes, crashes, recoveries,
    proven,         \* node -> whether its log is known to be as long as it ever was
    asked,          \* node -> the revision at which another's log was seen to be no longer
    oldLinks,       \* <<leader, node>>: to the node as it was before its end was torn
    rotten,         \* the node that lost a durable entry, if any (history)
    torn

tornVars == <<proven, asked, oldLinks, rotten, torn>>

vars == <<history, known, epoch, log, commit, leads, led, follows, grant, promise, match,
          blocked, waits, acked, writes, crashes, recoveries, tornVars>>

Symmetry == Permutations(Nodes \ {First})

Has(protection) == protection \notin Without

--------------------------------------------------------------------------------
Min(S) == CHOOSE x \in S : \A y \in S : x <= y
Max(S) == CHOOSE x \in S : \A y \in S : x >= y
Zero == [n \in Nodes |-> 0]
Monus(a) == IF a > 0 THEN a - 1 ELSE 0

Last == Len(history)
Of(n) == history[known[n]]                \* the descriptor that a node acts under
Record == history[Last]                   \* the descriptor in force

Entries(n) == {<<log[n][i].epoch, i>> : i \in 1..Len(log[n])}
Applied(n) == {<<log[n][i].epoch, i>> : i \in 1..commit[n]}
Prefix(s, k) == SubSeq(s, 1, k)

(* A swap of this leader that has taken effect, and whose outcome it does not know yet.    *)
(* That a swap takes effect the moment it starts loses nothing: one that meets a newer     *)
(* revision fails, and until its outcome is known the leader acts as if it were under way. *)
Pending(l, kind) ==
    /\ leads[l] /\ known[l] < Last
    /\ history[known[l] + 1].by = l /\ history[known[l] + 1].kind = kind

Joining(l) == IF Pending(l, "join") THEN history[known[l] + 1].inSync \ Of(l).inSync ELSE {}
Dropping(l) == IF Pending(l, "drop") THEN Of(l).inSync \ history[known[l] + 1].inSync ELSE {}

Required(l) == Of(l).inSync \cup (IF Has("join is waited for") THEN Joining(l) ELSE {})

LeaseHolds(l) ==
    LET givers == Of(l).inSync \cup (IF Has("joining promise") THEN Joining(l) ELSE {})
    IN \A f \in givers \ {l} : promise[l][f] > 0

(* Where a leader's own epoch starts. What is before, others may have acknowledged.         *)
Started(l) == Min({i \in 1..Len(log[l]) : log[l][i].epoch = epoch[l]} \cup {Len(log[l]) + 1})

Planned(kind) == Last < MaxRevision /\ (IF Plan = <<>> THEN TRUE ELSE Plan[Last] = kind)

Swap(n, leader, e, inSync, kind) ==
    /\ known[n] = Last /\ Planned(kind)
    /\ history' = Append(history,
         [leader |-> leader, epoch |-> e, inSync |-> inSync, by |-> n, kind |-> kind])

--------------------------------------------------------------------------------
Init ==
    /\ history = <<[leader |-> First, epoch |-> 1, inSync |-> Nodes, by |-> First,
                    kind |-> "created"]>>
    /\ known = [n \in Nodes |-> 1]
    /\ epoch = [n \in Nodes |-> 1]
    /\ log = [n \in Nodes |-> <<[epoch |-> 1, write |-> FALSE]>>]
    /\ commit = [n \in Nodes |-> 1]
    /\ leads = [n \in Nodes |-> n = First]
    /\ led = [n \in Nodes |-> IF n = First THEN 1 ELSE 0]
    /\ follows = [n \in Nodes |-> First]
    /\ grant = Zero
    /\ promise = [n \in Nodes |-> Zero]
    /\ match = [n \in Nodes |-> IF n = First THEN [f \in Nodes |-> 1] ELSE Zero]
    /\ blocked = Zero /\ waits = Zero
    /\ acked = {} /\ writes = 0 /\ crashes = 0 /\ recoveries = 0
    /\ proven = [n \in Nodes |-> TRUE] /\ asked = Zero /\ oldLinks = {} /\ rotten = {} /\ torn = 0

(* What a node that leads no longer forgets. *)
Resigned(n) ==
    /\ leads' = [leads EXCEPT ![n] = FALSE]
    /\ promise' = [promise EXCEPT ![n] = Zero]
    /\ match' = [match EXCEPT ![n] = Zero]
    /\ blocked' = [blocked EXCEPT ![n] = 0]
    /\ waits' = [waits EXCEPT ![n] = 0]

Unresigned == UNCHANGED <<leads, promise, match, blocked, waits>>

--------------------------------------------------------------------------------
(* Time. A lease is held for a number of ticks; its giver's obligation ends no sooner     *)
(* (Lease.tla proves that of the arithmetic in lease.py, with drifting clocks).           *)

Tick ==
    /\ \/ \E n \in Nodes : grant[n] > 0 \/ blocked[n] > 0 \/ waits[n] > 0
       \/ \E n, f \in Nodes : promise[n][f] > 0
    /\ grant' = [n \in Nodes |-> Monus(grant[n])]
    /\ promise' = [n \in Nodes |-> [f \in Nodes |-> Monus(promise[n][f])]]
    /\ blocked' = [n \in Nodes |-> Monus(blocked[n])]
    /\ waits' = [n \in Nodes |-> Monus(waits[n])]
    /\ UNCHANGED <<history, known, epoch, log, commit, leads, led, follows, match, acked,
                   writes, crashes, recoveries, tornVars>>

(* A promise counts over a link on which the follower has acknowledged this epoch: it has *)
(* not led a later one. Without that, whoever led in between and restarted, or handed     *)
(* over, would by its heartbeats bring the deposed leader's lease back to life.           *)
Confirmed(l, f) == match[l][f] > 0 /\ led[f] <= epoch[l] /\ <<l, f>> \notin oldLinks

(* A follower's heartbeat promises the leader not to take over for a lease. A node that   *)
(* leads sends its append first, and links keep their order.                              *)
Promise(f, l) ==
    /\ leads[l] /\ f # l /\ f \in Of(l).inSync \cup Joining(l)
    /\ leads[f] => epoch[f] <= epoch[l]
    /\ Has("confirmed promise") => Confirmed(l, f)
    /\ promise[l][f] < Lease
    /\ promise' = [promise EXCEPT ![l][f] = Lease]
    /\ UNCHANGED <<history, known, epoch, log, commit, leads, led, follows, grant, match,
                   blocked, waits, acked, writes, crashes, recoveries, tornVars>>

(* A leader's heartbeat extends the grant of an in-sync follower that follows its epoch.  *)
Grant(l, f) ==
    /\ leads[l] /\ f # l /\ f \in Of(l).inSync
    /\ Has("no grant while dropping") => f \notin Dropping(l)
    /\ ~leads[f] /\ epoch[f] = epoch[l] /\ follows[f] = l /\ match[l][f] > 0
    /\ <<l, f>> \notin oldLinks
    /\ Has("lease to grant") => LeaseHolds(l)
    /\ grant[f] < Lease
    /\ grant' = [grant EXCEPT ![f] = Lease]
    /\ UNCHANGED <<history, known, epoch, log, commit, leads, led, follows, promise, match,
                   blocked, waits, acked, writes, crashes, recoveries, tornVars>>

--------------------------------------------------------------------------------
(* The log. *)

Write(l) ==
    /\ leads[l] /\ writes < MaxWrites /\ LeaseHolds(l) /\ Cardinality(Of(l).inSync) >= 2
    /\ ~Pending(l, "hand-over")
    /\ log' = [log EXCEPT ![l] = Append(@, [epoch |-> epoch[l], write |-> TRUE])]
    /\ writes' = writes + 1
    /\ UNCHANGED <<history, known, epoch, commit, leads, led, follows, grant, promise, match,
                   blocked, waits, acked, crashes, recoveries, tornVars>>

(* The follower f takes the leader's log up to k, makes it durable and acknowledges it.   *)
(* k below the leader's last index: a message that was long under way, or catch-up.       *)
(* All of the leader's log proves that ours is as long as it ever was.                     *)
FollowerAppend(l, f, k) ==
    LET same == k <= Len(log[f]) /\ Prefix(log[f], k) = Prefix(log[l], k)
        older == epoch[f] > epoch[l]
        anew == epoch[f] # epoch[l] \/ follows[f] # l
        reached == Max({commit[f], Min({commit[l], k})})
        before == IF <<l, f>> \in oldLinks THEN 0 ELSE match[l][f]
        word == Max({before, k})
    IN
    /\ leads[l] /\ f # l
    /\ older => ~Has("epoch check")
    /\ k >= commit[f] /\ k \in Len(log[l]) - 2..Len(log[l])
    /\ \/ same /\ UNCHANGED log
       \/ /\ ~same
          /\ log' = [log EXCEPT ![f] =
                IF Has("cut the tail") THEN Prefix(log[l], k)
                ELSE @ \o SubSeq(log[l], Min({k, Len(@)}) + 1, k)]
    /\ epoch' = [epoch EXCEPT ![f] = Max({@, epoch[l]})]
    /\ follows' = [follows EXCEPT ![f] = l]
    /\ commit' = [commit EXCEPT ![f] = reached]
    /\ grant' = IF anew THEN [grant EXCEPT ![f] = 0] ELSE grant
    /\ IF leads[f]
       THEN /\ leads' = [leads EXCEPT ![f] = FALSE]
            /\ promise' = [promise EXCEPT ![f] = Zero]
            /\ match' = [match EXCEPT ![f] = Zero, ![l][f] = word]
            /\ blocked' = [blocked EXCEPT ![f] = 0] /\ waits' = [waits EXCEPT ![f] = 0]
       ELSE /\ match' = [match EXCEPT ![l][f] = word]
            /\ UNCHANGED <<leads, promise, blocked, waits>>
    /\ proven' = [proven EXCEPT ![f] = @ \/ k = Len(log[l]) \/ ~Has("all of it proves")]
    /\ oldLinks' = oldLinks \ {<<l, f>>}
    /\ <<log', epoch', follows', commit', grant', match', proven', oldLinks'>>
         # <<log, epoch, follows, commit, grant, match, proven, oldLinks>>
    /\ UNCHANGED <<history, known, led, acked, writes, crashes, recoveries, asked, rotten, torn>>

Commit(l) ==
    LET needed == Required(l) \ {l}
        levels == {match[l][f] : f \in needed} \cup {Len(log[l])}
        reached == IF Has("every in-sync replica") \/ needed = {} THEN Min(levels)
                   ELSE Min({Max({match[l][f] : f \in needed}), Len(log[l])})
    IN
    /\ leads[l] /\ reached > commit[l]
    /\ Has("two zones") => Cardinality(Of(l).inSync) >= 2
    /\ Has("lease to commit") => LeaseHolds(l)
    /\ blocked[l] = 0
    /\ commit' = [commit EXCEPT ![l] = reached]
    /\ acked' = acked \cup {<<log[l][i].epoch, i>> :
                               i \in {j \in commit[l] + 1..reached : log[l][j].write}}
    /\ UNCHANGED <<history, known, epoch, log, leads, led, follows, grant, promise, match,
                   blocked, waits, writes, crashes, recoveries, tornVars>>

--------------------------------------------------------------------------------
(* The in-sync set. *)

Shrink(l, f) ==
    /\ leads[l] /\ f # l /\ f \in Of(l).inSync /\ Cardinality(Of(l).inSync) > 2
    /\ waits[l] = 0
    /\ Swap(l, l, epoch[l], Of(l).inSync \ {f}, "drop")
    /\ blocked' = IF Has("shrink waits for the grant") /\ follows[f] = l
                  THEN [blocked EXCEPT ![l] = Max({@, grant[f]})] ELSE blocked
    /\ UNCHANGED <<known, epoch, log, commit, leads, led, follows, grant, promise, match,
                   waits, acked, writes, crashes, recoveries, tornVars>>

Expand(l, f) ==
    /\ leads[l] /\ f \notin Of(l).inSync
    /\ match[l][f] > 0
    /\ Has("join when level") => match[l][f] >= commit[l]
    /\ Has("join with the inherited") => match[l][f] >= Started(l)
    /\ Swap(l, l, epoch[l], Of(l).inSync \cup {f}, "join")
    /\ UNCHANGED <<known, epoch, log, commit, leads, led, follows, grant, promise, match,
                   blocked, waits, acked, writes, crashes, recoveries, tornVars>>

--------------------------------------------------------------------------------
(* Leadership. *)

(* One whose end was torn asks the other in-sync replicas first; one answer is enough,     *)
(* since everything acknowledged is in the log of each of them. It may be old by the time  *)
(* of the swap, which fails if the descriptor has changed.                                 *)
Longer(m, n) ==
    LET end(x) == IF log[x] = <<>> THEN 0 ELSE log[x][Len(log[x])].epoch
    IN end(m) > end(n) \/ (end(m) = end(n) /\ Len(log[m]) > Len(log[n]))

MayTakeOver(n) ==
    /\ ~leads[n] /\ Record.leader # n /\ n \in Record.inSync
    /\ Has("promise runs out") => promise[Record.leader][n] = 0

Ask(n) ==
    /\ ~proven[n] /\ asked[n] # Last
    /\ known[n] = Last /\ Last < MaxRevision
    /\ MayTakeOver(n) \/ (Record.leader = n /\ ~leads[n])
    /\ \E m \in Record.inSync \ {n, Record.leader} : ~Longer(m, n)
    /\ asked' = [asked EXCEPT ![n] = Last]
    /\ UNCHANGED <<history, known, epoch, log, commit, leads, led, follows, grant, promise, match,
                   blocked, waits, acked, writes, crashes, recoveries, proven, oldLinks, rotten,
                   torn>>

MayLead(n) == Has("ask before leading") => proven[n] \/ asked[n] = Last

Takeover(n) ==
    LET old == Record IN
    /\ MayTakeOver(n) /\ MayLead(n)
    /\ Swap(n, n, old.epoch + 1, old.inSync \ {old.leader}, "takeover")
    /\ UNCHANGED <<known, epoch, log, commit, leads, led, follows, grant, promise, match,
                   blocked, waits, acked, writes, crashes, recoveries, tornVars>>

(* The leader of record does not lead: it has restarted, or missed that it was named. *)
Resume(n) ==
    /\ ~leads[n] /\ Record.leader = n
    /\ MayLead(n) \/ Record.inSync = {n}
    /\ Swap(n, n, Record.epoch + 1, Record.inSync, "resume")
    /\ UNCHANGED <<known, epoch, log, commit, leads, led, follows, grant, promise, match,
                   blocked, waits, acked, writes, crashes, recoveries, tornVars>>

(* It leads on record and has asked: another's log goes on longer, so that one is to lead. *)
Yield(n, m) ==
    /\ ~leads[n] /\ Record.leader = n /\ ~proven[n]
    /\ m \in Record.inSync \ {n} /\ Longer(m, n)
    /\ Swap(n, m, Record.epoch + 1, Record.inSync \ {n}, "yield")
    /\ UNCHANGED <<known, epoch, log, commit, leads, led, follows, grant, promise, match,
                   blocked, waits, acked, writes, crashes, recoveries, tornVars>>

HandOver(l, f) ==
    /\ leads[l] /\ f # l /\ f \in Of(l).inSync /\ commit[l] = Len(log[l])
    /\ Swap(l, f, epoch[l] + 1, Of(l).inSync, "hand-over")
    /\ UNCHANGED <<known, epoch, log, commit, leads, led, follows, grant, promise, match,
                   blocked, waits, acked, writes, crashes, recoveries, tornVars>>

(* How long a new leader waits. `over`: when the lease of every leader before it has ended *)
(* for sure; a grant of those ends a lease later still. A deposed leader whose start entry  *)
(* is in our log has led: it is the one whose lease counts, and it holds no grant itself.   *)
Lead(n, r) ==
    LET d == history[r]
        before == history[r - 1]
        outside == Nodes \ d.inSync
        itLed == /\ d.kind = "takeover"
                 /\ \/ \E i \in 1..Len(log[n]) : log[n][i].epoch = before.epoch
                    \/ ~Has("deposed that never led")
        over == IF itLed
                THEN IF Has("promise given meanwhile") THEN promise[before.leader][n] ELSE 0
                ELSE IF Has("former lease") THEN Lease ELSE 0
        suspects == IF itLed THEN outside \ {before.leader} ELSE outside
    IN
    /\ leads' = [leads EXCEPT ![n] = TRUE]
    /\ led' = [led EXCEPT ![n] = d.epoch]
    /\ epoch' = [epoch EXCEPT ![n] = d.epoch]
    /\ follows' = [follows EXCEPT ![n] = n]
    /\ grant' = [grant EXCEPT ![n] = 0]
    /\ log' = [log EXCEPT ![n] = Append(@, [epoch |-> d.epoch, write |-> FALSE])]
    /\ waits' = [waits EXCEPT ![n] = IF Has("wait before the first shrink")
                                     THEN over + Lease ELSE 0]
    /\ blocked' = [blocked EXCEPT ![n] =
            IF suspects # {} /\ Has("wait for outsiders") THEN over + Lease
            ELSE IF outside # {} THEN over ELSE 0]
    /\ proven' = [proven EXCEPT ![n] = TRUE]
    /\ promise' = [promise EXCEPT ![n] = Zero]
    /\ match' = [match EXCEPT ![n] = Zero]

(* A node learns of a newer descriptor: its own swap's outcome, the watch, or a refresh.   *)
(* One that is named by another, and whose end was torn, does not lead by that: it resumes. *)
(* One that still leads in an older epoch begins anew: others may be out of the set since.  *)
Learn(n, r) ==
    LET d == history[r]
        willing == Has("ask when named") => proven[n] \/ d.by = n
        still == leads[n] /\ ~Has("begin anew when named")
    IN
    /\ r \in known[n] + 1..Last
    /\ known' = [known EXCEPT ![n] = r]
    /\ \/ /\ d.leader = n /\ d.epoch > epoch[n] /\ willing /\ ~still
          /\ Lead(n, r)
       \/ /\ d.leader = n /\ (d.epoch <= epoch[n] \/ ~willing \/ still)
          /\ Unresigned /\ UNCHANGED <<epoch, led, follows, grant, log, proven>>
       \/ /\ d.leader # n
          /\ IF leads[n] /\ d.epoch >= epoch[n] THEN Resigned(n) ELSE Unresigned
          /\ IF d.epoch > epoch[n]
             THEN /\ epoch' = [epoch EXCEPT ![n] = d.epoch]
                  /\ follows' = [follows EXCEPT ![n] = d.leader]
                  /\ grant' = [grant EXCEPT ![n] = 0]
             ELSE UNCHANGED <<epoch, follows, grant>>
          /\ UNCHANGED <<led, log, proven>>
    /\ UNCHANGED <<history, commit, acked, writes, crashes, recoveries, asked, oldLinks, rotten,
                   torn>>

--------------------------------------------------------------------------------
(* Faults. A cut link, a slow message and a paused node are actions that do not happen.   *)

(* A crash and a restart. A leader may lose what it wrote in its epoch and had not         *)
(* committed; a follower has acknowledged nothing that was not durable. What is applied    *)
(* may be behind the journal. The map is read before anything else.                        *)
Restart(n, keep) ==
    /\ log' = [log EXCEPT ![n] = Prefix(@, keep)]
    /\ commit' = [commit EXCEPT ![n] = 0]
    /\ known' = [known EXCEPT ![n] = Last]
    /\ epoch' = [epoch EXCEPT ![n] = Max({@, Record.epoch})]
    /\ follows' = [follows EXCEPT ![n] = Record.leader]
    /\ grant' = [grant EXCEPT ![n] = 0]
    /\ Resigned(n)
    /\ UNCHANGED <<history, led, acked, writes, recoveries>>

Unsynced(n, keep) ==
    /\ keep >= commit[n]
    /\ \A i \in keep + 1..Len(log[n]) : leads[n] /\ log[n][i].epoch = epoch[n]

Crash(n, keep) ==
    /\ crashes < MaxCrashes /\ crashes' = crashes + 1
    /\ Unsynced(n, keep) /\ Restart(n, keep)
    /\ UNCHANGED tornVars

(* The same, and the end of the journal is found torn. On one machine it may have rotted:  *)
(* the last durable entry is gone, too. Not on the only one that is in sync. Whoever had a *)
(* link to the former process may not have noticed: what that one acknowledged counts on.  *)
TornEnd(n, keep, lost) ==
    /\ torn < MaxTorn /\ torn' = torn + 1
    /\ lost = 1 => rotten \subseteq {n} /\ Record.inSync # {n}
    /\ keep + lost <= Len(log[n])
    /\ Unsynced(n, keep + lost) /\ Restart(n, keep)
    /\ rotten' = IF lost = 1 THEN {n} ELSE rotten
    /\ proven' = [proven EXCEPT ![n] = FALSE]
    /\ asked' = [asked EXCEPT ![n] = 0]
    /\ oldLinks' = oldLinks \cup {<<l, n>> : l \in Nodes \ {n}}
    /\ UNCHANGED crashes

(* Two zones are gone for good; the operator makes the survivor the sole source. The       *)
(* zones come back with new, empty nodes. What the survivor had not, is lost; the client   *)
(* was told of it after the moment up to which the survivor is provably complete.          *)
Recover(s) ==
    LET e == Max({Record.epoch, epoch[s]}) IN
    /\ recoveries < MaxRecoveries /\ recoveries' = recoveries + 1
    /\ Planned("recover")
    /\ history' = Append(history, [leader |-> s, epoch |-> e + 1, inSync |-> {s}, by |-> s,
                                   kind |-> "recover"])
    /\ known' = [n \in Nodes |-> Last + 1]
    /\ epoch' = [n \in Nodes |-> IF n = s THEN e + 1 ELSE 0]
    /\ log' = [n \in Nodes |-> IF n = s THEN log[s] ELSE <<>>]
    /\ commit' = [n \in Nodes |-> IF n = s THEN Len(log[s]) ELSE 0]
    /\ leads' = [n \in Nodes |-> FALSE]
    /\ led' = [n \in Nodes |-> IF n = s THEN led[s] ELSE 0]
    /\ follows' = [n \in Nodes |-> s]
    /\ grant' = Zero /\ promise' = [n \in Nodes |-> Zero] /\ match' = [n \in Nodes |-> Zero]
    /\ blocked' = Zero /\ waits' = Zero
    /\ acked' = acked \cap Entries(s)
    /\ proven' = [n \in Nodes |-> n # s \/ proven[n]] /\ asked' = Zero /\ oldLinks' = {}
    /\ UNCHANGED <<writes, crashes, rotten, torn>>

Next ==
    \/ Tick
    \/ \E l, f \in Nodes :
          \/ Promise(f, l) \/ Grant(l, f) \/ Shrink(l, f) \/ Expand(l, f) \/ HandOver(l, f)
          \/ Yield(l, f)
          \/ \E k \in 0..Len(log[l]) : FollowerAppend(l, f, k)
    \/ \E n \in Nodes :
          \/ Write(n) \/ Commit(n) \/ Ask(n) \/ Takeover(n) \/ Resume(n) \/ Recover(n)
          \/ \E r \in known[n] + 1..Last : Learn(n, r)
          \/ \E keep \in 0..Len(log[n]) :
                Crash(n, keep) \/ \E lost \in {0, 1} : TornEnd(n, keep, lost)

Spec == Init /\ [][Next]_vars

--------------------------------------------------------------------------------
(* What must hold. *)

OneLeaderAnEpoch ==
    /\ \A n, m \in Nodes : leads[n] /\ leads[m] /\ epoch[n] = epoch[m] => n = m
    /\ \A i, j \in 1..Last : history[i].epoch = history[j].epoch
                                => history[i].leader = history[j].leader

(* A node follows no epoch that the map does not name: so one that restarts, and reads it   *)
(* first, needs no journal to know its epoch.                                               *)
EpochsAreOfTheMap == \A n \in Nodes : epoch[n] <= Record.epoch

(* The same entry in two logs: the same log before it. Committed entries are the same. *)
LogsMatch ==
    \A n, m \in Nodes :
        /\ \A i \in 1..Min({Len(log[n]), Len(log[m])}) :
              log[n][i].epoch = log[m][i].epoch => Prefix(log[n], i) = Prefix(log[m], i)
        /\ LET c == Min({commit[n], commit[m]}) IN Prefix(log[n], c) = Prefix(log[m], c)

(* Nothing acknowledged is missing from an in-sync replica whose log is proven; and there  *)
(* is one that has it all.                                                                 *)
InSyncIsComplete ==
    /\ \A n \in Record.inSync : proven[n] => acked \subseteq Entries(n)
    /\ \E n \in Record.inSync : acked \subseteq Entries(n)

(* P1: never fewer than two, but for what rotted since. *)
TwoCopies ==
    recoveries = 0 => \A a \in acked :
        Cardinality({n \in Nodes : a \in Entries(n)}) >= 2 - Cardinality(rotten)

Clean(n) == \A i \in commit[n] + 1..Len(log[n]) : ~log[n][i].write

MayRead(n) ==
    IF leads[n]
    THEN /\ LeaseHolds(n)
         /\ Has("epoch start") => commit[n] > 0 /\ log[n][commit[n]].epoch = epoch[n]
    ELSE /\ grant[n] > 0 /\ (Has("dirty keys") => Clean(n))
         /\ Has("proven to read") => proven[n]

(* A read never misses an acknowledged write. *)
ReadsAreCurrent == \A n \in Nodes : MayRead(n) => acked \subseteq Applied(n)

(* Whoever is cut off, and left over alone, knows up to when it is complete: to the end of *)
(* its grant, or of its lease. With NothingForgotten: it still has all that later.         *)
Provably(n) == IF leads[n] THEN LeaseHolds(n) /\ commit[n] > 0
                                /\ log[n][commit[n]].epoch = epoch[n]
               ELSE grant[n] > 0 /\ proven[n]
SurvivorKnows == \A n \in Nodes : Provably(n) => acked \subseteq Entries(n)

NothingForgotten ==
    [][\A n \in Nodes : recoveries' = recoveries /\ torn' = torn =>
            (acked \cap Entries(n)) \subseteq Entries(n)']_vars

(* Shows that the bounds reach what they must: each of these is expected to be violated. *)
Count(kind) == Cardinality({i \in 1..Last : history[i].kind = kind})
NeverEverything ==
    ~(/\ Count("takeover") >= 2 /\ Count("drop") >= 1 /\ Count("join") >= 1)
NeverSecondTakeoverServes ==
    ~(/\ Count("takeover") >= 2
      /\ Count("join") >= 1
      /\ \E l \in Nodes : leads[l] /\ epoch[l] = Record.epoch
                          /\ <<epoch[l], commit[l]>> \in acked)
NeverFollowerReadsInSecondEpoch ==
    ~(\E n \in Nodes : ~leads[n] /\ MayRead(n) /\ epoch[n] > 1 /\ acked # {})
NeverLeadsWithAnAnswer == ~(\E n \in Nodes : leads[n] /\ asked[n] > 0)
NeverServesAfterRot ==
    ~(\E n \in rotten : leads[n] /\ <<epoch[n], commit[n]>> \in acked /\ Count("hand-over") > 0)
NeverServesAfterRecovery ==
    ~(recoveries > 0 /\ \E l \in Nodes : leads[l] /\ <<epoch[l], commit[l]>> \in acked)
================================================================================
