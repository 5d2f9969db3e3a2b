/* What changes a published action's state: outcomes, timers and revocations, on two instances. revocation.pml follows the messages.
 *
 * Separate from the protocol, because here only one row matters. README.md explains it; scripts/model checks it. */

#define BIT(n) (1 << (n))
#define NOBODY 0

/* Outcomes and states; an outcome is the state that it leads to. */
#define PUBLISHED 0
#define DELIVERED 1
#define ACCEPTED 2
#define NO_RESPONSE 3
#define EXPIRED 4
#define REVOKED 5

/* How often a process may be killed, at any step. */
#ifndef FAULTS
#define FAULTS 1
#endif
byte kills = FAULTS;
/* The action's time has run out. */
bool late;

/* The database: whether the outbox row is confirmed, who holds the client's state, and the row of journey_action_states. */
bool confirmed;
byte lock;
byte state = PUBLISHED;
byte outcomes;
/* The queue journey.outcomes: copies of each outcome. */
byte reports[3];
/* Outcomes that the broker has confirmed to the worker. */
byte reported;
/* How often each outcome took effect, and how often the action was closed since. */
byte effects[3];
byte closings;

/* Properties. With ONLY, a run continues to its end. */
bool outcome_lost;
bool outcome_twice;
bool answer_overwritten;
bool closed_twice;
bool never_closed;
#ifdef ONLY
#define forbid(flag, condition) if :: (condition) -> flag = true; assert(!ONLY) :: else fi
#else
#define forbid(flag, condition) if :: (condition) -> flag = true; assert(!flag) :: else fi
#endif

#ifdef NO_STATE_LOCK
#define is_free true
#else
#define is_free (lock == NOBODY)
#endif

#define is_open(s) (s == PUBLISHED || s == DELIVERED)

/* A transaction locks the client, and reads the whole row that it writes later. */
inline begin(me) { atomic { is_free -> lock = me; seen = state; known = outcomes } }
inline kill(me) { kills--; printf("%d: is killed\n", me) }

/* IngestConsumer, for the queue journey.outcomes: at least once, in any order. */
proctype Outcome(byte me) {
  byte o, seen, known;
end:
  do
  :: atomic {
       if
       :: reports[DELIVERED] > 0 -> o = DELIVERED
       :: reports[ACCEPTED] > 0 -> o = ACCEPTED
       fi;
       reports[o]--; printf("%d: receives outcome %d\n", me, o) }
#ifdef OUTCOME_NEEDS_CONFIRM
     if
     :: atomic { confirmed -> skip }
     :: atomic { !confirmed -> printf("%d: rejects the outcome: its action is not published\n", me); goto settled }
     fi;
#endif
#ifdef ACK_BEFORE_OUTCOME
     if
     :: true
     :: atomic { kills > 0 -> kill(me); goto settled }
     fi;
#endif
     begin(me);
     if
     :: atomic { true ->
          if
#ifndef NO_OUTCOME_KEY
          :: known & BIT(o) -> skip
#endif
#ifdef CLOSED_IS_CLOSED
          :: seen >= EXPIRED -> skip
#endif
          :: else ->
            printf("%d: stores outcome %d\n", me, o);
            outcomes = known | BIT(o); effects[o]++; closings = 0;
            forbid(outcome_twice, effects[o] > 1);
#ifdef LATEST_OUTCOME_WINS
            state = o
#else
            state = (seen == ACCEPTED -> seen : o)
#endif
          fi;
          lock = NOBODY }
     :: atomic { kills > 0 -> kill(me); reports[o]++; lock = NOBODY; goto settled }
     fi;
     if
     :: atomic { true -> printf("%d: acks outcome %d\n", me, o) }
     :: atomic { kills > 0 -> kill(me); reports[o]++ }
     fi;
settled: skip
  od
}

/* TimeSweep: nobody answered in time. */
proctype Timer(byte me) {
  byte seen, known;
end:
  do
  :: atomic { late && is_open(state) -> printf("%d: finds that the action's time has run out\n", me) }
     begin(me);
     if
     :: atomic { true ->
          if
#ifndef TIMER_TRUSTS_ITS_LIST
          :: !is_open(seen) -> skip
#endif
          :: else ->
            printf("%d: closes the action\n", me);
            state = (seen == DELIVERED -> NO_RESPONSE : EXPIRED); outcomes = known;
            closings++; forbid(closed_twice, closings > 1)
          fi;
          lock = NOBODY }
     :: atomic { kills > 0 -> kill(me); lock = NOBODY }
     fi
  od
}

/* The cause is gone, or a person takes the action back: what was not run is revoked. */
proctype Revoke(byte me) {
  byte seen, known;
  begin(me);
  if
  :: atomic { true ->
       if
#ifndef REVOKES_WHAT_WAS_RUN
       :: seen != PUBLISHED -> skip
#endif
       :: else -> printf("%d: revokes the action\n", me); state = REVOKED; outcomes = known;
            closings++; forbid(closed_twice, closings > 1)
       fi;
       lock = NOBODY }
  :: atomic { kills > 0 -> kill(me); lock = NOBODY }
  fi
}

/* A worker reports in order; after a crash it reports again. The copy of the action that it has may be one whose confirm is not yet recorded. */
proctype Worker() {
  byte copies = 2;
  do
  :: atomic { copies > 0 -> copies--; printf("5: reports that it has delivered\n"); reports[DELIVERED]++; reported = reported | BIT(DELIVERED) }
     if
     :: atomic { true -> printf("5: reports that it is accepted\n"); reports[ACCEPTED]++; reported = reported | BIT(ACCEPTED) }
     :: true
     fi
  :: true -> break
  od
}

proctype Clock() {
  atomic { confirmed = true; printf("6: the action's confirm is recorded\n") };
  atomic { late = true; printf("6: the action's time runs out\n") };
  /* No other step is possible. */
  timeout ->
  atomic {
    forbid(outcome_lost, outcomes != reported);
    forbid(answer_overwritten, (outcomes & BIT(ACCEPTED)) && state != ACCEPTED);
    forbid(never_closed, is_open(state))
  }
}

init {
  atomic {
    run Outcome(1); run Outcome(2); run Timer(1); run Timer(2); run Revoke(1); run Worker(); run Clock()
  }
}
