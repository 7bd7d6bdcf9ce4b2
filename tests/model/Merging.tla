-------------------------------- MODULE Merging --------------------------------
(* A partition is merged into its left neighbour, as engine/trilith/replication/    *)
(* merging.py does it: A is on the left, B goes, C is what a split makes meanwhile, *)
(* or afterwards. That each partition by itself commits on every in-sync replica,   *)
(* with one leader at a time, is Replication.tla, and is taken for granted here.    *)
EXTENDS Naturals, Sequences, FiniteSets, TLC

CONSTANTS
    Nodes,          \* three, one a zone
    First, Second,  \* who leads A and B at first
    MaxKey,         \* keys 1..MaxKey; B has the last one, A the others
    WriteKeys, MaxWrites,
    MaxTakeovers,   \* leaders that are replaced, by takeover or hand-over, though they run
    MaxDowns,       \* nodes that stop
    MaxUps,         \* and that come back
    MaxLost,        \* of those, so many lose the log of a partition
    MaxDrops,       \* followers that are dropped though they run
    MaxSplits,
    MaxTrims,       \* logs that are cut at their beginning
    Without         \* the protections that a mutant leaves out

VARIABLES
    desc,           \* partition -> its descriptor in the coordinator
    leading,        \* partition -> whether its leader of record leads
    log,            \* node -> partition -> its log: [known, base, seq]
    ep,             \* node -> partition -> the epoch in which it has acknowledged
    store,          \* node -> [val, rng, app]: values, range records, applied indexes
    flushed,        \* node -> the same, as a crash leaves it
    damaged,        \* node -> partition -> whether only a snapshot helps
    up,             \* node -> whether it runs
    marks,          \* node -> the partitions that it knows to be marked absorbed
    acked,          \* key -> the last write that a client was told is done
    writes,         \* how many writes there were; each is known by its number
    left            \* fault -> how many there may yet be

vars == <<desc, leading, log, ep, store, flushed, damaged, up, marks, acked, writes, left>>

Parts == {"A", "B", "C"}
Keys == 1..MaxKey
None == ""
Has(protection) == protection \notin Without

Others == Nodes \ {First, Second}
Symmetry == Permutations(Others)

--------------------------------------------------------------------------------
Min(S) == CHOOSE x \in S : \A y \in S : x <= y
Max(S) == CHOOSE x \in S : \A y \in S : x >= y

(* Range records (ranges.py). `took`: what the last change of the range took in.          *)
Nowhere == [there |-> FALSE, lo |-> 0, hi |-> 0, gen |-> 0, closed |-> 0, cep |-> 0,
            by |-> None, child |-> None, took |-> None]
Range(lo, hi) == [Nowhere EXCEPT !.there = TRUE, !.lo = lo, !.hi = hi]
Covers(r, k) == r.there /\ r.by = None /\ r.lo <= k /\ k < r.hi
Overlap(r, s) == r.lo < s.hi /\ s.lo < r.hi

(* Logs. *)
NoLog == [known |-> FALSE, base |-> 0, seq |-> <<>>]
LogFrom(base) == [known |-> TRUE, base |-> base, seq |-> <<>>]
Last(lg) == lg.base + Len(lg.seq)
At(lg, i) == lg.seq[i - lg.base]
Reaches(lg, i) == lg.known /\ i > lg.base /\ i <= Last(lg)
CutTo(lg, i) == [lg EXCEPT !.seq = SubSeq(@, 1, i - lg.base)]
Plus(lg, entry) == [lg EXCEPT !.seq = Append(@, entry)]

Entry(e, op) == [e |-> e, op |-> op, k |-> 0, w |-> 0, p |-> None, i |-> 0, c |-> 0, hi |-> 0]
WriteOf(e, k, w) == [Entry(e, "write") EXCEPT !.k = k, !.w = w]
SplitAt(e, k, child) == [Entry(e, "split") EXCEPT !.k = k, !.p = child]
AbsorbOf(e, q, r) == [Entry(e, "absorb") EXCEPT !.p = q, !.k = r.lo, !.hi = r.hi,
                                                !.i = r.closed, !.c = r.cep]

(* What an entry does to the store, in one write with the applied index. *)
Effect(s, p, i, x) ==
    LET t == [s EXCEPT !.app[p] = i] IN
    CASE x.op = "start" -> t
      [] x.op = "write" -> [t EXCEPT !.val[x.k] = x.w]
      [] x.op = "close" -> [t EXCEPT !.rng[p].closed = i, !.rng[p].cep = x.e]
      [] x.op = "split" ->
            [t EXCEPT !.rng[p].hi = x.k, !.rng[p].gen = @ + 1, !.rng[p].child = x.p,
                      !.rng[p].took = None,
                      !.rng[x.p] = Range(x.k, s.rng[p].hi), !.app[x.p] = i]
      [] x.op = "absorb" ->
            [t EXCEPT !.rng[p].hi = x.hi, !.rng[p].gen = @ + 1, !.rng[p].child = None,
                      !.rng[p].took = x.p,
                      !.rng[x.p] = [Range(x.k, x.k) EXCEPT !.by = p]]

(* Whether all of the log that an entry speaks of is applied here (Merging.absorbable).   *)
Stands(s, dm, q) == ~dm[q] /\ s.rng[q].there /\ s.rng[q].by = None
Ready(s, dm, x) == Stands(s, dm, x.p) /\ s.app[x.p] >= x.i

RECURSIVE Apply(_, _, _, _, _)
MadeReady(s, lgs, dm, x) ==
    IF /\ Stands(s, dm, x.p) /\ s.app[x.p] < x.i /\ Reaches(lgs[x.p], x.i)
       /\ At(lgs[x.p], x.i).e = x.c \/ ~Has("the epoch of the closing entry")
    THEN Apply(s, lgs, dm, x.p, x.i) ELSE s
(* Replica.commit_to: up to i, or up to what it has to wait for. *)
Apply(s, lgs, dm, p, i) ==
    IF s.app[p] >= i \/ ~Stands(s, dm, p) \/ ~Reaches(lgs[p], s.app[p] + 1) THEN s
    ELSE LET x == At(lgs[p], s.app[p] + 1)
             t == IF x.op = "absorb" THEN MadeReady(s, lgs, dm, x) ELSE s
         IN IF x.op = "absorb" /\ Has("ready to apply") /\ ~Ready(t, dm, x) THEN t
            ELSE Apply(Effect(t, p, s.app[p] + 1, x), lgs, dm, p, i)

(* The journal learns where a child's log begins once its split is applied. *)
Begun(lgs, s, dm) ==
    IF s.rng["C"].there /\ ~lgs["C"].known /\ ~dm["C"]
    THEN [lgs EXCEPT !["C"] = LogFrom(s.app["C"])] ELSE lgs

--------------------------------------------------------------------------------
Rng(n, p) == store[n].rng[p]
App(n, p) == store[n].app[p]
Retired(n, p) == Rng(n, p).by # None
Awaited(n, p) == ~Rng(n, p).there
Pending(n, p) == {At(log[n][p], i) : i \in {j \in App(n, p) + 1..Last(log[n][p]) :
                                              Reaches(log[n][p], j)}}
Changes(n, p) == {x \in Pending(n, p) : x.op \in {"close", "split", "absorb"}}
Absorbs(n, p) == {x \in Pending(n, p) : x.op = "absorb"}
Closing(n, p) == Rng(n, p).closed > 0 \/ \E x \in Pending(n, p) : x.op = "close"
Well(n, p) == Stands(store[n], damaged[n], p)

Leads(n, p) == up[n] /\ leading[p] /\ desc[p].leader = n
Open(p) == desc[p].there /\ desc[p].mark = None
Published(n, p) == Rng(n, p).gen <= desc[p].gen
Started(n, p) ==
    \A i \in App(n, p) + 1..Last(log[n][p]) : At(log[n][p], i).e # desc[p].epoch
                                               \/ At(log[n][p], i).op # "start"
StartIndex(n, p) ==
    Max({0} \cup {i \in log[n][p].base + 1..Last(log[n][p]) :
                     At(log[n][p], i).e = desc[p].epoch /\ At(log[n][p], i).op = "start"})
Settled(n, p) == Changes(n, p) = {} /\ ~Closing(n, p) /\ ~Retired(n, p) /\ Published(n, p)
MayChange(n, p) == Leads(n, p) /\ Well(n, p) /\ Started(n, p) /\ Settled(n, p)

(* Where the range ends once all that is logged is applied; absorbs count when applied. *)
LoggedEnd(n, p) == Min({Rng(n, p).hi} \cup {x.k : x \in {y \in Pending(n, p) : y.op = "split"}})

(* Up to where two logs are known to be the same. *)
Match(l, f, p) ==
    LET a == log[l][p]
        b == log[f][p]
        lo == Max({a.base, b.base})
        ends == {i \in lo..Min({Last(a), Last(b)}) : \A j \in lo + 1..i : At(a, j) = At(b, j)}
    IN IF ends = {} THEN 0 ELSE Max(ends)
Gap(l, f, p) == Last(log[f][p]) < log[l][p].base

AckedUpTo(l, f, p) ==
    IF ep[f][p] = desc[p].epoch /\ Well(f, p) THEN Match(l, f, p) ELSE 0

(* The node's state after it has applied something. *)
Becomes(n, s) ==
    /\ store' = [store EXCEPT ![n] = s]
    /\ log' = [log EXCEPT ![n] = Begun(@, s, damaged[n])]
    /\ leading' = [p \in Parts |-> leading[p] /\ ~(desc[p].leader = n /\ s.rng[p].by # None)]

Spend(fault) == left[fault] > 0 /\ left' = [left EXCEPT ![fault] = @ - 1]

--------------------------------------------------------------------------------
(* One write to B is done, and not flushed anywhere. *)
FirstWrite == WriteOf(1, MaxKey, 1)
Init ==
    /\ desc = [p \in Parts |->
         [there |-> p # "C", leader |-> IF p = "B" THEN Second ELSE First, epoch |-> 1,
          inSync |-> Nodes, gen |-> 0, lo |-> IF p = "B" THEN MaxKey ELSE 1, mark |-> None]]
    /\ leading = [p \in Parts |-> p # "C"]
    /\ log = [n \in Nodes |-> [p \in Parts |-> CASE p = "C" -> NoLog
                                                [] p = "A" -> LogFrom(0)
                                                [] p = "B" -> Plus(LogFrom(0), FirstWrite)]]
    /\ ep = [n \in Nodes |-> [p \in Parts |-> IF p = "C" THEN 0 ELSE 1]]
    /\ store = [n \in Nodes |->
         [val |-> [k \in Keys |-> IF k = MaxKey THEN 1 ELSE 0],
          rng |-> [p \in Parts |-> CASE p = "A" -> Range(1, MaxKey)
                                     [] p = "B" -> Range(MaxKey, MaxKey + 1)
                                     [] OTHER -> Nowhere],
          app |-> [p \in Parts |-> IF p = "B" THEN 1 ELSE 0]]]
    /\ flushed = [n \in Nodes |-> [store[n] EXCEPT !.val[MaxKey] = 0, !.app["B"] = 0]]
    /\ damaged = [n \in Nodes |-> [p \in Parts |-> FALSE]]
    /\ up = [n \in Nodes |-> TRUE]
    /\ marks = [n \in Nodes |-> {}]
    /\ acked = [k \in Keys |-> IF k = MaxKey THEN 1 ELSE 0]
    /\ writes = 1
    /\ left = [takeover |-> MaxTakeovers, down |-> MaxDowns, up |-> MaxUps, lost |-> MaxLost,
               drop |-> MaxDrops, trim |-> MaxTrims, split |-> MaxSplits]

--------------------------------------------------------------------------------
(* The log of one partition. *)

Accepts(n, p, k) ==
    /\ Leads(n, p) /\ Covers(Rng(n, p), k) /\ k < LoggedEnd(n, p)
    /\ Has("closed takes no writes") => ~Closing(n, p)
    /\ Cardinality(desc[p].inSync) >= 2

Write(n, p, k) ==
    /\ writes < MaxWrites /\ Accepts(n, p, k)
    /\ log' = [log EXCEPT ![n][p] = Plus(@, WriteOf(desc[p].epoch, k, writes + 1))]
    /\ writes' = writes + 1
    /\ UNCHANGED <<desc, leading, ep, store, flushed, damaged, up, marks, acked, left>>

(* What a follower says to the entry that absorbs (Replica._require_absorbable): "lost",  *)
(* and only a snapshot helps; not yet; or it takes it, and applies what that speaks of.    *)
Lost(f, x) ==
    /\ x.op = "absorb" /\ Has("absorbs only what is here")
    /\ ~Ready(MadeReady(store[f], log[f], damaged[f], x), damaged[f], x)
    /\ Retired(f, x.p) \/ (x.p \in marks[f] /\ Has("lost when marked"))

Takes(f, x) ==
    x.op = "absorb" /\ Has("absorbs only what is here")
        => Ready(MadeReady(store[f], log[f], damaged[f], x), damaged[f], x)

NextFor(l, f, p) ==     \* the next entry, if there is one
    LET m == Match(l, f, p) IN
    IF log[f][p].known /\ ~Gap(l, f, p) /\ m < Last(log[l][p])
    THEN {At(log[l][p], m + 1)} ELSE {}

MayMake(n, x, c) ==
    ~Awaited(n, x) /\ ~Retired(n, x) /\ x \notin marks[n] /\ Covers(Rng(n, x), desc[c].lo)
Coming(n, c) == \E x \in Parts \ {c} : MayMake(n, x, c)

AppendTo(l, f, p) ==
    /\ Leads(l, p) /\ f # l /\ up[f] /\ Well(f, p) /\ log[f][p].known /\ ~Gap(l, f, p)
    /\ \A x \in NextFor(l, f, p) : Takes(f, x)
    /\ LET m == Match(l, f, p)
           cut == CutTo(log[f][p], m)
           new == IF NextFor(l, f, p) = {} THEN (IF ep[f][p] = desc[p].epoch THEN log[f][p] ELSE cut)
                  ELSE Plus(cut, CHOOSE x \in NextFor(l, f, p) : TRUE)
           s == IF \E x \in NextFor(l, f, p) : x.op = "absorb"
                THEN MadeReady(store[f], log[f], damaged[f],
                               CHOOSE x \in NextFor(l, f, p) : TRUE)
                ELSE store[f]
       IN /\ new # log[f][p] \/ ep[f][p] # desc[p].epoch
          /\ Assert(m >= App(f, p), "a committed entry is cut")
          /\ log' = [log EXCEPT ![f][p] = new]
          /\ store' = [store EXCEPT ![f] = s]
    /\ ep' = [ep EXCEPT ![f][p] = desc[p].epoch]
    /\ UNCHANGED <<desc, leading, flushed, damaged, up, marks, acked, writes, left>>

(* A child that is asked for, and that nothing here will make any more. *)
Overtaken(f, p) ==
    /\ up[f] /\ desc[p].there /\ Awaited(f, p) /\ ~damaged[f][p] /\ ~Coming(f, p)
    /\ p \notin marks[f]
    /\ damaged' = [damaged EXCEPT ![f][p] = TRUE]
    /\ UNCHANGED <<desc, leading, log, ep, store, flushed, up, marks, acked, writes, left>>

Commit(l, p) ==
    LET levels == {AckedUpTo(l, f, p) : f \in desc[p].inSync \ {l}} \cup {Last(log[l][p])}
        s == Apply(store[l], log[l], damaged[l], p, Min(levels))
    IN
    /\ Leads(l, p) /\ Cardinality(desc[p].inSync) >= 2
    /\ s.app[p] > App(l, p)
    /\ Becomes(l, s)
    /\ acked' = [k \in Keys |->
         Max({acked[k]} \cup {x.w : x \in {At(log[l][p], i) : i \in App(l, p) + 1..s.app[p]}
                                            \cap {y \in Pending(l, p) : y.op = "write" /\ y.k = k}})]
    /\ UNCHANGED <<desc, ep, flushed, damaged, up, marks, writes, left>>

Follow(l, f, p) ==
    LET s == Apply(store[f], log[f], damaged[f], p, Min({App(l, p), AckedUpTo(l, f, p)})) IN
    /\ Leads(l, p) /\ f # l /\ up[f] /\ s.app[p] > App(f, p)
    /\ Becomes(f, s)
    /\ UNCHANGED <<desc, ep, flushed, damaged, up, marks, acked, writes, left>>

--------------------------------------------------------------------------------
(* The merge. *)

(* Step 1. That all replicas are in sync is asked for too, and is not needed here. *)
Close(n) ==
    /\ MayChange(n, "B") /\ Open("B")
    /\ \E p \in {"A", "C"} : Open(p) /\ Well(n, p) /\ Rng(n, p).hi = Rng(n, "B").lo
                             /\ Settled(n, p)
    /\ log' = [log EXCEPT ![n]["B"] = Plus(@, Entry(desc["B"].epoch, "close"))]
    /\ UNCHANGED <<desc, leading, ep, store, flushed, damaged, up, marks, acked, writes, left>>

(* Step 2, by the leader of what is to the left then. *)
Absorb(n, p) ==
    LET gone == Rng(n, "B")
        ahead == [gone EXCEPT !.closed = Last(log[n]["B"]), !.cep = desc["B"].epoch]
        logged == ~Has("closed for sure") /\ gone.closed = 0 /\ Closing(n, "B")
    IN
    /\ MayChange(n, p) \/ (~Has("one change at a time") /\ Leads(n, p) /\ ~Retired(n, p)
                           /\ Absorbs(n, p) = {})
    /\ p # "B" /\ Open(p)
    /\ Well(n, "B") /\ (gone.closed > 0 \/ logged)
    /\ Rng(n, p).hi = gone.lo
    /\ log' = [log EXCEPT ![n][p] =
                  Plus(@, AbsorbOf(desc[p].epoch, "B", IF logged THEN ahead ELSE gone))]
    /\ UNCHANGED <<desc, leading, ep, store, flushed, damaged, up, marks, acked, writes, left>>

(* Step 3, by whoever leads what has the keys now. *)
Mark(n, p) ==
    /\ Leads(n, p) /\ Open("B") /\ Retired(n, "B") /\ Covers(Rng(n, p), Rng(n, "B").lo)
    /\ desc' = [desc EXCEPT !["B"].mark = p]
    /\ marks' = [marks EXCEPT ![n] = @ \cup {"B"}]
    /\ UNCHANGED <<leading, log, ep, store, flushed, damaged, up, acked, writes, left>>

(* Step 4. *)
Widen(n, p) ==
    /\ Leads(n, p) /\ Rng(n, p).took # None /\ ~Published(n, p)
    /\ desc[Rng(n, p).took].mark # None
    /\ desc' = [desc EXCEPT ![p].gen = Rng(n, p).gen]
    /\ UNCHANGED <<leading, log, ep, store, flushed, damaged, up, marks, acked, writes, left>>

Learn(n) ==
    LET told == {p \in Parts : desc[p].mark # None} IN
    /\ up[n] /\ told # marks[n]
    /\ marks' = [marks EXCEPT ![n] = told]
    /\ leading' = [p \in Parts |-> leading[p] /\ ~(p \in told /\ desc[p].leader = n)]
    /\ UNCHANGED <<desc, log, ep, store, flushed, damaged, up, acked, writes, left>>

(* A mark proves that the entry was committed (Merging._apply_what_is_told). *)
ApplyTold(n, p) ==
    /\ Has("apply what is told") /\ Leads(n, p)
    /\ \E i \in App(n, p) + 1..Last(log[n][p]) :
          LET x == At(log[n][p], i)
              s == Apply(store[n], log[n], damaged[n], p, i)
          IN /\ x.op = "absorb" /\ x.p \in marks[n]
             /\ s.app[p] > App(n, p)
             /\ Becomes(n, s)
    /\ UNCHANGED <<desc, ep, flushed, damaged, up, marks, acked, writes, left>>

(* So does the record of what was absorbed here (Merging._testify). *)
Testify(n) ==
    LET p == Rng(n, "B").by IN
    /\ Has("testify") /\ up[n] /\ Retired(n, "B") /\ Open("B")
    /\ Rng(n, p).hi = Rng(n, "B").lo /\ Well(n, p) /\ p \notin marks[n]
    /\ ~\E q \in Parts : Covers(Rng(n, q), Rng(n, "B").lo)
    /\ desc' = [desc EXCEPT !["B"].mark = p]
    /\ marks' = [marks EXCEPT ![n] = @ \cup {"B"}]
    /\ UNCHANGED <<leading, log, ep, store, flushed, damaged, up, acked, writes, left>>

(* The log of what was absorbed is let go of once the store is flushed (Merging.forget).   *)
Forget(n, q) ==
    /\ up[n] /\ q \in marks[n] /\ log[n][q].known
    /\ \/ Retired(n, q)
       \/ Awaited(n, q) /\ \E p \in Parts \ {q} :
             Well(n, p) /\ Covers(Rng(n, p), desc[q].lo) /\ Absorbs(n, p) = {}
    /\ flushed' = IF Has("flushed before it is forgotten")
                  THEN [flushed EXCEPT ![n] = store[n]] ELSE flushed
    /\ log' = [log EXCEPT ![n][q] = NoLog]
    /\ UNCHANGED <<desc, leading, ep, store, damaged, up, marks, acked, writes, left>>

--------------------------------------------------------------------------------
(* Splits (splitting.py). *)

Split(n, p, k) ==
    /\ Spend("split") /\ ~desc["C"].there
    /\ \A m \in Nodes : Awaited(m, "C") /\ \A x \in Pending(m, p) : x.op # "split"
    /\ MayChange(n, p) /\ Open(p) /\ Cardinality(desc[p].inSync) >= 2
    /\ Rng(n, p).lo < k /\ k < Rng(n, p).hi
    /\ log' = [log EXCEPT ![n][p] = Plus(@, SplitAt(desc[p].epoch, k, "C"))]
    /\ UNCHANGED <<desc, leading, ep, store, flushed, damaged, up, marks, acked, writes>>

(* Who applied it creates the child, and leads it. *)
Create(n, p) ==
    LET c == Rng(n, p).child
        e == desc[p].epoch + 1
    IN
    /\ Leads(n, p) /\ c # None /\ ~Published(n, p) /\ ~desc[c].there
    /\ desc' = [desc EXCEPT ![c] = [there |-> TRUE, leader |-> n, epoch |-> e,
                  inSync |-> desc[p].inSync, gen |-> 0, lo |-> Rng(n, c).lo, mark |-> None]]
    /\ leading' = [leading EXCEPT ![c] = TRUE]
    /\ ep' = [ep EXCEPT ![n][c] = e]
    /\ log' = [log EXCEPT ![n][c] = Plus(@, Entry(e, "start"))]
    /\ UNCHANGED <<store, flushed, damaged, up, marks, acked, writes, left>>

Shorten(n, p) ==
    /\ Leads(n, p) /\ Rng(n, p).child # None /\ ~Published(n, p) /\ desc[Rng(n, p).child].there
    /\ desc' = [desc EXCEPT ![p].gen = Rng(n, p).gen]
    /\ UNCHANGED <<leading, log, ep, store, flushed, damaged, up, marks, acked, writes, left>>

--------------------------------------------------------------------------------
(* Leaders and in-sync sets, as Replication.tla has them. Each takes effect at once: what  *)
(* a deposed leader, or a dropped follower, might still do, leases and grants keep it from.*)

Begin(n, p, inSync) ==
    LET e == desc[p].epoch + 1 IN
    /\ desc' = [desc EXCEPT ![p].leader = n, ![p].epoch = e, ![p].inSync = inSync]
    /\ leading' = [leading EXCEPT ![p] = TRUE]
    /\ ep' = [ep EXCEPT ![n][p] = e]
    /\ log' = [log EXCEPT ![n][p] = Plus(@, Entry(e, "start"))]

Able(n, p) == up[n] /\ Open(p) /\ n \in desc[p].inSync /\ Well(n, p) /\ p \notin marks[n]

Takeover(n, p) ==
    /\ Able(n, p) /\ desc[p].leader # n
    /\ IF up[desc[p].leader] THEN Spend("takeover") /\ leading[p] ELSE UNCHANGED left
    /\ Begin(n, p, desc[p].inSync \ {desc[p].leader})
    /\ UNCHANGED <<store, flushed, damaged, up, marks, acked, writes>>

HandOver(l, n, p) ==
    /\ Leads(l, p) /\ Able(n, p) /\ n # l /\ App(l, p) = Last(log[l][p]) /\ Spend("takeover")
    /\ Begin(n, p, desc[p].inSync)
    /\ UNCHANGED <<store, flushed, damaged, up, marks, acked, writes>>

Resume(n, p) ==
    /\ Able(n, p) /\ desc[p].leader = n /\ ~leading[p]
    /\ Begin(n, p, desc[p].inSync)
    /\ UNCHANGED <<store, flushed, damaged, up, marks, acked, writes, left>>

Abdicate(n, m, p) ==
    /\ up[n] /\ Open(p) /\ desc[p].leader = n /\ ~leading[p] /\ damaged[n][p]
    /\ m \in desc[p].inSync \ {n}
    /\ desc' = [desc EXCEPT ![p].leader = m, ![p].epoch = @ + 1, ![p].inSync = @ \ {n}]
    /\ UNCHANGED <<leading, log, ep, store, flushed, damaged, up, marks, acked, writes, left>>

NeedsSnapshot(l, f, p) ==
    \/ damaged[f][p]
    \/ /\ Well(f, p) /\ log[f][p].known
       /\ Gap(l, f, p) \/ \E x \in NextFor(l, f, p) : Lost(f, x)

Waits(l, f, p) == \E x \in NextFor(l, f, p) : ~Takes(f, x)

Drop(l, f, p) ==
    /\ Leads(l, p) /\ f # l /\ f \in desc[p].inSync
    /\ \/ up[f] /\ NeedsSnapshot(l, f, p) /\ UNCHANGED left
       \/ /\ Cardinality(desc[p].inSync) > 2
          /\ \/ ~up[f] /\ UNCHANGED left
             \/ up[f] /\ ~Retired(f, p) /\ (Awaited(f, p) \/ Waits(l, f, p)) /\ UNCHANGED left
             \/ Spend("drop")
    /\ desc' = [desc EXCEPT ![p].inSync = @ \ {f}]
    /\ UNCHANGED <<leading, log, ep, store, flushed, damaged, up, marks, acked, writes>>

Join(l, f, p) ==
    /\ Leads(l, p) /\ Open(p) /\ f \notin desc[p].inSync /\ up[f]
    /\ Has("published before a join") => Published(l, p)
    /\ AckedUpTo(l, f, p) >= App(l, p) /\ ep[f][p] = desc[p].epoch /\ Well(f, p)
    /\ Has("join with the inherited") => AckedUpTo(l, f, p) >= StartIndex(l, p)
    /\ desc' = [desc EXCEPT ![p].inSync = @ \cup {f}]
    /\ UNCHANGED <<leading, log, ep, store, flushed, damaged, up, marks, acked, writes, left>>

(* A replica is filled with what its leader has applied (snapshot.py). What was absorbed   *)
(* gives way to who absorbed it.                                                           *)
RECURSIVE Needed(_, _, _)
Needed(f, q, p) ==
    \E x \in Parts \ {p} :
        /\ ~damaged[f][x] /\ \E y \in Absorbs(f, x) : y.p = q
        /\ x \notin marks[f] \/ Needed(f, x, p)

Snapshot(l, f, p) ==
    LET r == Rng(l, p)
        held == {q \in Parts \ {p} : ~Awaited(f, q) /\ ~Retired(f, q) /\ Overlap(Rng(f, q), r)}
        gone == held \cap marks[f]
        s == [val |-> [k \in Keys |-> IF r.lo <= k /\ k < r.hi THEN store[l].val[k]
                                      ELSE store[f].val[k]],
              rng |-> [q \in Parts |-> CASE q = p -> r
                                         [] q \in gone -> [Range(Rng(f, q).lo, Rng(f, q).lo)
                                                             EXCEPT !.by = p]
                                         [] OTHER -> Rng(f, q)],
              app |-> [store[f].app EXCEPT ![p] = App(l, p)]]
    IN
    /\ Leads(l, p) /\ f # l /\ up[f] /\ NeedsSnapshot(l, f, p)
    /\ f \notin desc[p].inSync /\ ~Retired(f, p) /\ p \notin marks[f]
    /\ Has("not what is about to be absorbed") =>
          ~\E q \in Parts : \E x \in Absorbs(f, q) : x.p = p
    /\ Has("free for a snapshot") => held \subseteq marks[f]
    /\ Has("kept while it is needed") => ~\E q \in held : Needed(f, q, p)
    /\ store' = [store EXCEPT ![f] = s] /\ flushed' = [flushed EXCEPT ![f] = s]
    /\ log' = [log EXCEPT ![f][p] = LogFrom(App(l, p))]
    /\ damaged' = [damaged EXCEPT ![f][p] = FALSE]
    /\ ep' = [ep EXCEPT ![f][p] = desc[p].epoch]
    /\ <<store', log', damaged', ep'>> # <<store, log, damaged, ep>>  \* else it would for ever
    /\ UNCHANGED <<desc, leading, up, marks, acked, writes, left>>

Trim(n, p) ==
    /\ up[n] /\ Spend("trim") /\ log[n][p].known /\ App(n, p) > log[n][p].base
    /\ Well(n, p)
    /\ flushed' = [flushed EXCEPT ![n] = store[n]]
    /\ log' = [log EXCEPT ![n][p] = [known |-> TRUE, base |-> App(n, p),
                 seq |-> SubSeq(@.seq, App(n, p) - @.base + 1, Len(@.seq))]]
    /\ UNCHANGED <<desc, leading, ep, store, damaged, up, marks, acked, writes>>

--------------------------------------------------------------------------------
(* Faults. A slow message, or a link that is cut, is an action that does not happen.       *)

Synced(n, p) ==     \* what it took from others, it has acknowledged
    Max({App(n, p)} \cup {i \in log[n][p].base + 1..Last(log[n][p]) :
                             At(log[n][p], i).e # desc[p].epoch})

(* A node stops: its store may fall back to what was flushed, the log of what it led to    *)
(* what was committed.                                                                    *)
Down(n) ==
    /\ up[n] /\ Spend("down")
    /\ up' = [up EXCEPT ![n] = FALSE]
    /\ \E s \in {store[n], flushed[n]} :
         /\ store' = [store EXCEPT ![n] = s] /\ flushed' = [flushed EXCEPT ![n] = s]
         /\ \E cut \in SUBSET {p \in Parts : Leads(n, p) /\ Synced(n, p) < Last(log[n][p])} :
              log' = [log EXCEPT ![n] = [p \in Parts |->
                   IF p \in cut THEN CutTo(@[p], Synced(n, p))
                   ELSE IF p = "C" /\ ~desc["C"].there /\ ~s.rng["C"].there THEN NoLog
                   ELSE @[p]]]
    /\ leading' = [p \in Parts |-> leading[p] /\ desc[p].leader # n]
    /\ UNCHANGED <<desc, ep, damaged, marks, acked, writes>>

(* It starts again; the log of a partition may be found damaged, but for the only one that *)
(* is in sync. What is known to be committed is applied first: a child's log begins behind *)
(* its parent's split, and an entry that absorbs behind what it speaks of.                 *)
Replayed(s, lgs, dm) ==
    LET parents == {p \in Parts \ {"C"} : Stands(s, dm, p) /\ lgs["C"].known
                      /\ ~s.rng["C"].there /\ Reaches(lgs[p], lgs["C"].base)
                      /\ At(lgs[p], lgs["C"].base).op = "split"}
        t == IF parents = {} THEN s
             ELSE LET p == CHOOSE p \in parents : TRUE IN Apply(s, lgs, dm, p, lgs["C"].base)
        absorbs == {x \in UNION {{At(lgs[p], i) : i \in {j \in t.app[p] + 1..Last(lgs[p]) :
                        Reaches(lgs[p], j)}} : p \in Parts} : x.op = "absorb"}
    IN IF absorbs = {} THEN t ELSE MadeReady(t, lgs, dm, CHOOSE x \in absorbs : TRUE)

Up(n) ==
    /\ ~up[n] /\ left["up"] > 0
    /\ up' = [up EXCEPT ![n] = TRUE]
    /\ \E lost \in {{}} \cup (IF left["lost"] > 0 THEN {{p} : p \in {q \in Parts :
                                 log[n][q].known /\ desc[q].there /\ desc[q].inSync # {n}}} ELSE {}) :
         LET dm == [p \in Parts |-> damaged[n][p] \/ p \in lost]
             lgs == [p \in Parts |-> IF p \in lost THEN LogFrom(App(n, p)) ELSE log[n][p]]
             s == IF Has("replayed") THEN Replayed(store[n], lgs, dm) ELSE store[n]
             waiting == {p \in Parts : \E i \in s.app[p] + 1..Last(lgs[p]) :
                           Reaches(lgs[p], i) /\ At(lgs[p], i).op = "absorb"
                           /\ ~Ready(s, dm, At(lgs[p], i))}
             bad == IF Has("replayed, or damaged") THEN waiting ELSE {}
         IN /\ left' = [left EXCEPT !["lost"] = @ - Cardinality(lost), !["up"] = @ - 1]
            /\ store' = [store EXCEPT ![n] = s]
            /\ damaged' = [damaged EXCEPT ![n] = [p \in Parts |-> dm[p] \/ p \in bad]]
            /\ log' = [log EXCEPT ![n] = [p \in Parts |->
                  IF p \in bad THEN LogFrom(s.app[p]) ELSE Begun(lgs, s, dm)[p]]]
    /\ marks' = [marks EXCEPT ![n] = {p \in Parts : desc[p].mark # None}]
    /\ UNCHANGED <<desc, leading, ep, flushed, acked, writes>>

--------------------------------------------------------------------------------
(* What must hold. *)

Touches(x, k) == (x.op = "write" /\ x.k = k) \/ (x.op = "split" /\ x.k <= k)

MayRead(n, p, k) ==
    /\ up[n] /\ desc[p].there /\ Well(n, p) /\ Covers(Rng(n, p), k)
    /\ Has("closing stops reads") => ~Closing(n, p)
    /\ n \in desc[p].inSync
    /\ IF Leads(n, p) THEN Started(n, p)
       ELSE desc[p].leader # n /\ \A x \in Pending(n, p) : ~Touches(x, k)

(* A read never misses an acknowledged write, nor sees one that is none. *)
ReadsAreCurrent ==
    \A n \in Nodes, p \in Parts, k \in Keys : MayRead(n, p, k) => store[n].val[k] = acked[k]

(* No key has two who may acknowledge a write to it, be it one that is logged already. *)
Acknowledges(n, p, k) ==
    /\ Leads(n, p) /\ Well(n, p)
    /\ Accepts(n, p, k) \/ \E x \in Pending(n, p) : x.op = "write" /\ x.k = k /\ x.w > acked[k]
OneAcknowledges ==
    \A k \in Keys : Cardinality({<<n, p>> \in Nodes \X Parts : Acknowledges(n, p, k)}) <= 1

(* What was acknowledged is durable on two nodes, but for logs that were lost. *)
Durable(n, k, w) ==
    \/ flushed[n].val[k] >= w
    \/ \E p \in Parts : \E i \in 1..Len(log[n][p].seq) :
          log[n][p].seq[i].op = "write" /\ log[n][p].seq[i].k = k /\ log[n][p].seq[i].w = w
Kept ==
    \A k \in Keys : acked[k] > 0 =>
        Cardinality({n \in Nodes : Durable(n, k, acked[k])}) >= 2 - (MaxLost - left["lost"])

(* The ranges that the replicas of one node hold do not overlap (ranges.py). *)
NoOverlap ==
    \A n \in Nodes : \A p, q \in Parts :
        p # q /\ ~Awaited(n, p) /\ ~Awaited(n, q) /\ ~Retired(n, p) /\ ~Retired(n, q)
            => ~Overlap(Rng(n, p), Rng(n, q))

(* In the end every key is served, by a partition that has all its replicas again: every    *)
(* action brings things nearer to their end, so it is enough that a state out of which      *)
(* none leads is such an end; to TLC any other is a deadlock. That nothing needs a fault to *)
(* get on is shown by the runs with fewer of them: a node that comes back is one.           *)
Running == {n \in Nodes : up[n]}
AllIsWell ==
    /\ \A p \in Parts : Open(p) =>
         LET l == desc[p].leader IN
         /\ Leads(l, p) /\ ~Closing(l, p) /\ Published(l, p)
         /\ Running \subseteq desc[p].inSync
         /\ \A n \in Running : Well(n, p) /\ App(n, p) = Last(log[l][p])
    /\ \A p \in Parts : desc[p].mark # None => \A n \in Running : ~log[n][p].known
    /\ \A k \in Keys : \E p \in Parts :
         Open(p) /\ \A n \in Running : MayRead(n, p, k)
Done == AllIsWell /\ UNCHANGED vars

(* Shows that the bounds reach what they must: each of these is expected to be violated.   *)
NeverMergedByAnother == ~(AllIsWell /\ desc["B"].mark = "A" /\ desc["A"].leader # First)
NeverMergedIntoAChild == ~(AllIsWell /\ desc["B"].mark = "C")
NeverSplitWhereItWasMerged ==
    ~(AllIsWell /\ desc["B"].mark = "A" /\ desc["C"].there /\ desc["C"].lo = MaxKey)

Next ==
    \/ Done
    \/ \E n \in Nodes :
          \/ Down(n) \/ Up(n) \/ Learn(n) \/ Close(n) \/ Testify(n)
          \/ \E p \in Parts :
                \/ Commit(n, p) \/ Absorb(n, p) \/ Mark(n, p) \/ Widen(n, p) \/ ApplyTold(n, p)
                \/ Forget(n, p) \/ Create(n, p) \/ Shorten(n, p) \/ Takeover(n, p)
                \/ Resume(n, p) \/ Overtaken(n, p) \/ Trim(n, p)
                \/ \E k \in WriteKeys : Write(n, p, k)
                \/ \E k \in Keys : Split(n, p, k)
                \/ \E m \in Nodes :
                      \/ AppendTo(n, m, p) \/ Follow(n, m, p) \/ HandOver(n, m, p)
                      \/ Abdicate(n, m, p) \/ Drop(n, m, p) \/ Join(n, m, p)
                      \/ Snapshot(n, m, p)

Spec == Init /\ [][Next]_vars
================================================================================
