"""Transactions over partitions of both models: two-phase commit that anyone can finish.

A transaction is a set of actions, each on one logical key; the models say what an action does
(`stage.Stage`), this package when. The life of one (`coordinator.py`):

1. *Prepare* (one command a partition) evaluates each action with its condition, and writes a LOCK
   under the action's key with the action in it, or reports why not. Nobody else changes a locked
   key; who meets another's lock gives up rather than wait, so there is no deadlock.
2. *Commit* (one command, the commit point) writes into the *ledger* that the transaction is
   committed, with its participants. The actions of the ledger's own partition are never locked:
   they are evaluated and applied by this command (the "last agent" of Gray and Reuter). A
   transaction that lies in one partition is this command alone. The client is answered.
3. *Resolve*, batched over transactions, performs the locked actions (or drops them) and removes
   the locks; then the ledger's record goes too.

Anyone who meets a lock may ask the ledger, and if the lock is old have the transaction aborted
unless it is committed (*Settle*): `recovery.py`, `sweeper.py`. Clocks decide only how soon.
"""
