/* A client that becomes silent: commits of events, sweeps of two instances, and the clock.
 *
 * Separate from the protocol, because here only the times of one client's state matter. README.md explains it; scripts/model checks it. */

#define NEVER 15
#define END 6
/* The time from an event to the beginning of a risk. */
#define SILENCE 2

byte now;
/* The columns of journey_client_state. */
byte due_at = NEVER;
byte check_at = NEVER;
/* The process that holds the row; 0: none. */
byte holder;
/* How many events may still come, and how often a process may be killed. */
byte events = 2;
byte kills = 1;
/* How often silence was detected since the last event. */
byte noticed;

/* Properties. With ONLY, a run continues to its end. */
bool silence_unnoticed;
bool noticed_twice;
bool check_after_due;
#ifdef ONLY
#define forbid(flag, condition) if :: (condition) -> flag = true; assert(!ONLY) :: else fi
#else
#define forbid(flag, condition) if :: (condition) -> flag = true; assert(!flag) :: else fi
#endif

#ifdef NO_ROW_LOCK
#define is_free true
#else
#define is_free (holder == 0)
#endif

#define earlier(a, b) (a < b -> a : b)

/* CommitStatements.updateStates: the next check stays at its time, unless the risk begins before it. */
inline set_times(due) {
#ifdef LOOK_NEVER_LOWERED
  check_at = (check_at != NEVER && check_at > now -> check_at : due);
#else
  check_at = (check_at != NEVER && check_at > now -> earlier(check_at, due) : due);
#endif
  due_at = due
}

/* An event of the client. It may cause a risk that begins earlier than the expected one. */
proctype Commit() {
  byte sooner;
  do
  :: atomic { events > 0 && is_free ->
       holder = 1; events--;
       if
       :: sooner = 0
       :: sooner = 1
       fi;
       printf("1: stores an event at %d\n", now) }
     if
     :: atomic { set_times(now + SILENCE - sooner); noticed = 0; holder = 0 }
     :: atomic { kills > 0 -> kills--; events++; holder = 0; printf("1: is killed\n") }
     fi
  :: atomic { events == 0 -> break }
  :: atomic { now == END -> break }
  od
}

proctype Sweep(byte me) {
  byte due, check;
end:
  do
  :: atomic { check_at <= now && is_free -> holder = me; due = due_at; check = check_at }
     if
     :: atomic { due <= now -> printf("%d: evaluates at %d\n", me, now); noticed++; forbid(noticed_twice, noticed > 1);
          check_at = NEVER; due_at = NEVER; holder = 0 }
     :: atomic { due > now ->
#ifdef LOOK_NOT_MOVED_ON
          check_at = NEVER;
#else
          check_at = due;
#endif
          holder = 0 }
     :: atomic { kills > 0 -> kills--; printf("%d: is killed\n", me); holder = 0 }
     fi
  od
}

/* The clock advances at any time, so a sweep may be late. */
proctype Clock() {
  do
  :: atomic { now < END -> now++ }
  :: now == END -> break
  od;
  /* No other step is possible. */
  timeout ->
    forbid(check_after_due, check_at > due_at);
    forbid(silence_unnoticed, due_at <= now)
}

init {
  atomic { run Commit(); run Sweep(2); run Sweep(3); run Clock() }
}
