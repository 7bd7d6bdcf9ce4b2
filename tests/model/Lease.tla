---------------------------------- MODULE Lease ----------------------------------
(* The arithmetic of engine/trilith/replication/lease.py: one lease from a giver to a      *)
(* holder, each on its own clock that runs fast or slow by up to the margin in a lease.    *)
(* Replication.tla rests on `Nested`: the holder's view ends before the giver's obligation. *)
(* Messages are delayed, lost and reordered at will; the giver pauses and restarts.        *)
EXTENDS Integers, FiniteSets

CONSTANTS
    Lease,      \* true ticks in a lease
    Horizon,    \* true ticks in a run
    Without     \* the protections that a mutant leaves out

Has(protection) == protection \notin Without

(* The drift: between any two moments each clock advances by the true time, one tick more, *)
(* or one less. The holder's may be slow while the giver's is fast: the margin is twice it. *)
Margin == IF Has("margin") THEN 2 ELSE 0

VARIABLES
    now,            \* true time
    holderClock, giverClock,
    holderSkew, giverSkew,      \* how far each clock is ahead of true time: 0 or 1
    beats,          \* heartbeats of the holder under way: their send times, its clock
    answers,        \* [echo, at]: leases under way; `at` is the giver's clock when it sent
    heldUntil,      \* holder's clock; 0: never
    owedUntil       \* giver's clock

vars == <<now, holderClock, giverClock, holderSkew, giverSkew, beats, answers, heldUntil,
          owedUntil>>

Max(a, b) == IF a > b THEN a ELSE b

Init ==
    /\ now = 1 /\ holderClock = 1 /\ giverClock = 1 /\ holderSkew = 0 /\ giverSkew = 0
    /\ beats = {} /\ answers = {} /\ heldUntil = 0
    /\ owedUntil = 1 + Lease      \* a former run may have given one

(* Time passes; each clock advances by 0, 1 or 2. *)
Pass ==
    /\ now < Horizon /\ now' = now + 1
    /\ \E h, g \in {0, 1} :
          /\ holderSkew' = h /\ giverSkew' = g
          /\ holderClock' = now + 1 + h /\ giverClock' = now + 1 + g
          /\ holderClock' >= holderClock /\ giverClock' >= giverClock
    /\ UNCHANGED <<beats, answers, heldUntil, owedUntil>>

HolderBeats ==
    /\ Cardinality(beats) < 2
    /\ beats' = beats \cup {holderClock}
    /\ UNCHANGED <<now, holderClock, giverClock, holderSkew, giverSkew, answers, heldUntil,
                   owedUntil>>

GiverAnswers(beat) ==
    /\ answers' = answers \cup {beat} /\ Cardinality(answers') <= 2
    /\ owedUntil' = giverClock + Lease
    /\ UNCHANGED <<now, holderClock, giverClock, holderSkew, giverSkew, beats, heldUntil>>

HolderReceives(echo) ==
    /\ heldUntil' = Max(heldUntil,
          (IF Has("own send time") THEN echo ELSE holderClock) + Lease - Margin)
    /\ answers' = answers \ {echo}
    /\ UNCHANGED <<now, holderClock, giverClock, holderSkew, giverSkew, beats, owedUntil>>

(* What it owes is forgotten; its monotonic clock goes on. *)
GiverRestarts ==
    /\ owedUntil' = IF Has("a lease after a start") THEN giverClock + Lease ELSE 0
    /\ answers' = {} /\ beats' = {}
    /\ UNCHANGED <<now, holderClock, giverClock, holderSkew, giverSkew, heldUntil>>

Lose == \E beat \in beats : beats' = beats \ {beat}
        /\ UNCHANGED <<now, holderClock, giverClock, holderSkew, giverSkew, answers, heldUntil,
                       owedUntil>>

Next == Pass \/ HolderBeats \/ GiverRestarts \/ Lose
        \/ \E beat \in beats : GiverAnswers(beat)
        \/ \E echo \in answers : HolderReceives(echo)

Spec == Init /\ [][Next]_vars

(* lease.py: held while promised_until > now; free when now >= promise_given_until. *)
Nested == holderClock < heldUntil => giverClock < owedUntil
================================================================================
