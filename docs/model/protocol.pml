/* The path of an event through two instances of the adapter, between one broker and one database, with faults.
 *
 * README.md explains it and lists the source file of each step; scripts/model checks it. */

#include "state.pml"
#include "database.pml"
#include "instance.pml"
#include "relay.pml"
#include "faults.pml"

/* The broker delivers the oldest message to either instance. The instances are symmetric, so the first message goes to instance 1. */
#define is_oldest(m) ((ready & BIT(m)) && (ready & (BIT(m) - 1)) == 0)
#define is_first (ready == EVERY && faults == FAULTS && (unacked[1] | unacked[2] | stored | parked) == 0)

inline deliver(m, i) {
  printf("%d: receives message %d\n", i, m);
  ready = ready & ~BIT(m);
  unacked[i] = unacked[i] | BIT(m);
  arrived[i] = arrived[i] | BIT(m)
}

proctype Broker(byte m) {
end:
  do
  :: atomic { is_oldest(m) && up[1] -> deliver(m, 1) }
  :: atomic { is_oldest(m) && up[2] && !is_first -> deliver(m, 2) }
  od
}

/* Steps that happen eventually: an orphaned transaction ends, a process is started, a session takes its lock. */
proctype Keeper(byte i) {
end:
  do
  :: atomic { orphan[i].open -> printf("%d: its lost transaction is committed after all\n", i);
       apply(orphan[i]); clear_transaction(orphan[i]) }
  :: atomic { orphan[i].open -> printf("%d: its lost transaction is rolled back\n", i); clear_transaction(orphan[i]) }
  :: atomic { !up[1] && !up[2] -> start(i) }
  :: atomic { up[i] && !locked[i] && notices_new_session(i) -> printf("%d: takes its lock again\n", i); locked[i] = true }
  od
}

/* Runs when no other step is possible: the end of every run. */
proctype Judge() {
  timeout ->
  atomic {
    forbid(event_lost, (ready | unacked[1] | unacked[2] | stored | parked) != EVERY);
    forbid(action_lost, stored & ~queued);
    forbid(instance_without_its_lock, up[1] != locked[1] || up[2] != locked[2]);
    forbid(not_settled, !(settled))
  }
}

init {
  atomic {
    start(1); start(2);
    run Broker(0);
#if EVENTS + REJECTS > 1
    run Broker(1);
#endif
#if EVENTS + REJECTS > 2
    run Broker(2);
#endif
#if EVENTS + REJECTS > 3
    run Broker(3);
#endif
    run CommitWorker(1); run CommitWorker(2);
    run Publisher(1, 0); run Publisher(2, 0); run Relay(1, 0); run Relay(2, 0);
#if EVENTS > 1
    run Publisher(1, 1); run Publisher(2, 1); run Relay(1, 1); run Relay(2, 1);
#endif
#if EVENTS > 2
    run Publisher(1, 2); run Publisher(2, 2); run Relay(1, 2); run Relay(2, 2);
#endif
    run Keeper(1); run Keeper(2);
    run Adversary(1); run Adversary(2);
    run Judge()
  }
}

#ifdef ENDS
ltl ends_settled { <> [] (settled) }
#endif
