/* A hold: the command returns, and from then on nothing is published, whether an instance is connected to the database or not.
 *
 * Separate from the protocol, because here only leases and the clock matter. README.md explains it; scripts/model checks it. */

/* An instance publishes for so long after it has asked for its lease. */
#define LEASE 1
/* Its lease in the database is longer: an action that is written to the broker's connection reaches the broker within this time. */
#ifdef LEASE_WITHOUT_MARGIN
#define MARGIN 0
#else
#define MARGIN 1
#endif
#define is_late(i) (now > written_at[i])
#define NOT 15

/* How often an answer of the database may be lost. */
#ifndef FAULTS
#define FAULTS 1
#endif
byte faults = FAULTS;

byte now;
/* A fault takes time. */
#define END (4 + FAULTS)

/* The database: the number of the latest hold, whether it is in force, and each instance's lease: until when, and the latest hold that it confirms. */
byte version;
bool in_force;
byte leased_until[3];
byte confirmed[3];
/* The command for the latest hold has returned. */
bool returned;
/* When an action was written that has not reached the broker yet. */
byte written_at[3] = NOT;

/* Properties. With ONLY, a run continues to its end. */
bool published_after_return;
bool never_returned;
#ifdef ONLY
#define forbid(flag, condition) if :: (condition) -> flag = true; assert(!ONLY) :: else fi
#else
#define forbid(flag, condition) if :: (condition) -> flag = true; assert(!flag) :: else fi
#endif

/* `until`, `seen` and `held` are an instance's memory: until when it may publish, the latest hold that it knows, and whether it is in force. */
proctype Instance(byte me) {
  byte until, seen, asked;
  bool held, up;
end:
  do
  /* Starts: it may publish nothing before it has read the holds. */
  :: atomic { !up && now < END - LEASE - MARGIN -> up = true; held = true;
#ifdef STARTS_WITHOUT_HOLDS
       until = now + LEASE; held = false; leased_until[me] = now + LEASE + MARGIN
#endif
     }
  /* Renews its lease: asks, is written, is answered. An instance that is cut off asks no more, which is possible at any time. */
  :: atomic { up && now < END - LEASE - MARGIN -> asked = now }
     if
     :: atomic { now < END - LEASE - MARGIN ->
          printf("%d: renews its lease at %d, and reads hold %d\n", me, now, version);
          leased_until[me] = now + LEASE + MARGIN; seen = version; held = in_force }
        if
#ifdef LEASE_FROM_ANSWER
        :: atomic { true -> printf("%d: has its answer at %d\n", me, now); until = now + LEASE; asked = 0 }
#else
        :: atomic { true -> printf("%d: has its answer at %d\n", me, now); until = asked + LEASE; asked = 0 }
#endif
        :: atomic { faults > 0 -> faults--; printf("%d: loses its answer\n", me); asked = 0 }
        fi
     :: atomic { now >= END - LEASE - MARGIN -> asked = 0 }
     fi
#ifdef CONFIRMS_ON_THE_WAY
  :: atomic { up && confirmed[me] != seen ->
#else
  :: atomic { up && confirmed[me] != seen && written_at[me] == NOT ->
#endif
       printf("%d: confirms hold %d at %d\n", me, seen, now); confirmed[me] = seen }
  /* The publishing thread looks at hold and lease when it writes the action. */
#ifdef NO_LEASE_CHECK
  :: atomic { up && written_at[me] == NOT && !held && until > 0 ->
#else
  :: atomic { up && written_at[me] == NOT && !held && now < until ->
#endif
       printf("%d: writes an action at %d\n", me, now); written_at[me] = now }
  :: atomic { written_at[me] != NOT -> printf("%d: its action reaches the broker at %d\n", me, now); written_at[me] = NOT;
       forbid(published_after_return, returned) }
  od
}

#ifdef COUNTS_ANY_CONFIRM
#define has_confirmed(i) (confirmed[i] > 0)
#else
#define has_confirmed(i) (confirmed[i] == version)
#endif
#define is_silent(i) (has_confirmed(i) || leased_until[i] <= now)

/* The commands: a hold, its release, and another hold. */
proctype Operator() {
  byte holds = 2;
  do
  :: atomic { holds > 0 -> holds--; version++; in_force = true; printf("4: holds at %d\n", now) }
#ifndef RETURNS_AT_ONCE
     is_silent(1) && is_silent(2);
#endif
     atomic { printf("4: returns at %d\n", now); returned = true }
     if
     :: atomic { in_force = false; returned = false; printf("4: releases at %d\n", now) }
     :: break
     fi
  :: break
  od
}

proctype Clock() {
  do
  :: atomic { now < END && !is_late(1) && !is_late(2) -> now++ }
  :: now == END -> break
  od;
  /* No other step is possible. */
  timeout -> forbid(never_returned, in_force && !returned)
}

init {
  atomic { run Instance(1); run Instance(2); run Operator(); run Clock() }
}
