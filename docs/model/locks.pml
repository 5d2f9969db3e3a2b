/* The locks of commits, a merge and the host application on an organisation, a client's contact and the client's state.
 *
 * Separate from the protocol, because here only waiting matters. README.md explains it; scripts/model checks it. */

#define ORGANISATION 0
#define CONTACT 1
#define STATE 2
#define BIT(n) (1 << (n))

/* Processes: two committing instances (1, 2), one merge, the host. */
#define MERGE 3
#define HOST 4

/* The exclusive owner of a row (0: none), and the processes that share it. */
byte owner[3];
byte sharers[3];

/* Properties. With ONLY, a run continues to its end. */
bool commit_waits;
bool deadlock;
byte running = 4;

#define may_share(r, me) (owner[r] == 0 || owner[r] == me)
#define may_own(r, me) (may_share(r, me) && (sharers[r] & ~BIT(me)) == 0)
#define share(r, me) printf("%d: shares row %d\n", me, r); sharers[r] = sharers[r] | BIT(me)
#define own(r, me) printf("%d: takes row %d for itself\n", me, r); owner[r] = me

inline wait_to_share(r, me) { atomic { may_share(r, me) -> share(r, me) } }
inline wait_to_own(r, me) { atomic { may_own(r, me) -> own(r, me) } }

inline end_transaction(me) {
  atomic {
    for (r : 0 .. 2) {
      sharers[r] = sharers[r] & ~BIT(me);
      if
      :: owner[r] == me -> owner[r] = 0
      :: else
      fi
    }
  }
}

/* The locks that foreign keys take when rows are written. A write waits if the commit does not hold them already. */
inline write_rows(me) {
  commit_waits = commit_waits || !may_share(CONTACT, me) || !may_share(ORGANISATION, me);
#ifndef ONLY
  assert(!commit_waits);
#endif
  wait_to_share(CONTACT, me);
  wait_to_share(ORGANISATION, me)
}

/* BatchCommit: locks parents first, and skips rows that others hold. */
proctype Commit(byte me) {
  byte r, rounds = 2;
  do
  :: rounds > 0 ->
    rounds--;
#ifndef CHILD_FIRST
    atomic {
      if
      :: may_share(ORGANISATION, me) -> share(ORGANISATION, me)
      :: else -> goto over
      fi
    };
    atomic {
      if
      :: may_share(CONTACT, me) -> share(CONTACT, me)
      :: else -> goto over
      fi
    };
#endif
    atomic {
      if
      :: may_own(STATE, me) -> own(STATE, me)
      :: else -> goto over
      fi
    };
    write_rows(me);
over:
    end_transaction(me)
  :: else -> break
  od;
  running--
}

/* journey_merge_clients, which waits for locks. */
proctype Merge() {
  byte r;
#ifndef MERGE_STATE_FIRST
  wait_to_share(CONTACT, MERGE);
#endif
  wait_to_own(STATE, MERGE);
  wait_to_share(CONTACT, MERGE);
  end_transaction(MERGE);
  running--
}

/* The host locks rows, deletes them with all rows that refer to them, or writes an event, for which a trigger empties the state. */
proctype Host() {
  byte r, rounds = 2;
  do
  :: rounds > 0 ->
    rounds--;
    if
    :: wait_to_own(CONTACT, HOST)
    :: wait_to_own(ORGANISATION, HOST)
    :: wait_to_own(CONTACT, HOST); wait_to_own(STATE, HOST)
    :: wait_to_own(ORGANISATION, HOST); wait_to_own(CONTACT, HOST); wait_to_own(STATE, HOST)
    :: wait_to_share(CONTACT, HOST); wait_to_share(ORGANISATION, HOST); wait_to_own(STATE, HOST)
    fi;
    end_transaction(HOST)
  :: else -> break
  od;
  running--
}

/* Runs when no other step is possible. */
proctype Judge() {
  timeout ->
  deadlock = running > 0;
  assert(!deadlock)
}

init {
  atomic { run Commit(1); run Commit(2); run Merge(); run Host(); run Judge() }
}
