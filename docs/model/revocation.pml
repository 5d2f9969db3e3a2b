/* An action that is published, held or taken back, its revocation, and what a worker makes of the messages; on two instances.
 *
 * Separate from the protocol, because here only one action matters. README.md explains it; scripts/model checks it. */

/* Holders of the outbox row: none, and a process that has ended. */
#define NOBODY 0
#define DEAD 3
/* The action's revocation in the database. */
#define NONE 0
#define PENDING 1
#define SENT 2
#define UNSENT 3

/* How often something may fail, at any step. */
#ifndef FAULTS
#define FAULTS 1
#endif
byte faults = FAULTS;
/* The action has expired. */
bool late;
bool hold;

/* The database: the outbox row, inserted by instance 1, which is about to publish it; and the action's row. */
bool confirmed;
/* It has expired and is not tried again. */
bool given_up;
bool maybe_sent = true;
/* attempts > 0 */
bool tried;
byte holder = 1;
byte revocation = NONE;
/* The action is accepted, expired, superseded or revoked. */
bool closed;
/* The broker: copies in the worker's queue, and whether one was ever there. */
byte actions;
byte revocations;
bool was_published;
bool was_revoked;
/* The id of the latest copy of the revocation. */
byte id;
/* The worker: it has run the action; it knows the revocation by its id. */
bool ran;
bool warned;
byte warned_id;
byte runs;
byte undone;

/* Properties. With ONLY, a run continues to its end. */
bool revocation_lost;
bool revoked_unpublished;
bool revoked_twice;
bool run_twice;
bool run_after_revocation;
bool action_stuck;
#ifdef ONLY
#define forbid(flag, condition) if :: (condition) -> flag = true; assert(!ONLY) :: else fi
#else
#define forbid(flag, condition) if :: (condition) -> flag = true; assert(!flag) :: else fi
#endif

inline kill(me) { faults--; printf("%d: is killed\n", me); holder = DEAD }

/* PostgresEventStore.claimAbandoned: what another process had may have been sent. */
inline claim(me) {
  printf("%d: claims the action\n", me);
#ifndef CLAIM_TRUSTS_THE_DEAD
  maybe_sent = maybe_sent || holder == DEAD; tried = tried || holder == DEAD;
#endif
  holder = me
}

/* The action was taken back meanwhile, and certainly never reached the broker. */
inline leave_out(me) {
  printf("%d: leaves the action out\n", me);
  confirmed = true; revocation = UNSENT
}

/* CommitWorker, then ActionRelay on both instances: publish the action until its outbox row is confirmed. */
proctype Publish(byte me) {
  /* The process has the action in its hands. */
  bool own = (me == 1);
end:
  do
  :: atomic { !confirmed && !given_up && !own && (holder == NOBODY || holder == DEAD) ->
       claim(me);
       if
       :: revocation == PENDING && !maybe_sent -> leave_out(me)
       :: (revocation != PENDING || maybe_sent) && late ->
            printf("%d: gives the action up: it has expired\n", me); given_up = true;
            if
            :: revocation == PENDING -> revocation = UNSENT
            :: else
            fi
       /* What may have been sent is sent again, so that its revocation is never the only message. */
       :: else -> own = true
       fi }
     /* A hold is looked at again just before the action is sent: then it was certainly not sent in this attempt. */
  :: atomic { own && hold -> printf("%d: holds the action\n", me); own = false; holder = NOBODY;
#ifdef HELD_IS_UNSENT
       maybe_sent = false; tried = true }
#else
       maybe_sent = maybe_sent && tried; tried = true }
#endif
  :: atomic { own && !hold -> own = false }
     if
     :: atomic { true -> printf("%d: publishes the action\n", me); actions++; was_published = true }
        if
        :: atomic { true -> printf("%d: records that the action is published\n", me); confirmed = true }
        :: atomic { faults > 0 -> kill(me) }
        /* The confirm is lost. */
        :: atomic { faults > 0 -> faults--; printf("%d: gives the action back\n", me); holder = NOBODY;
             maybe_sent = true; tried = true }
        fi
     :: atomic { faults > 0 -> kill(me) }
     fi
  :: atomic { own && faults > 0 -> own = false; kill(me) }
  od
}

#ifdef REVOKES_WHAT_HAS_EXPIRED
#define is_revocable !closed
#else
#define is_revocable (!closed && !late)
#endif

/* An operator holds, then releases: what is held is superseded, and its client decided again. Or the cause is gone, or a person takes it back. */
proctype Operator() {
  if
  :: atomic { hold = true; printf("4: holds actions\n") }
     atomic { hold = false; printf("4: releases actions\n");
       if
       :: !confirmed && is_revocable -> closed = true; revocation = PENDING
       :: else
       fi }
  :: true
  fi
}

proctype Revoke() {
  if
  :: atomic { is_revocable -> printf("4: revokes the action\n"); closed = true; revocation = PENDING }
  :: true
  fi
}

/* ActionRelay: sends the revocation once the outbox row is confirmed or gone. */
proctype SendRevocation(byte me) {
end:
  do
#ifdef REVOKES_AT_ONCE
  :: atomic { revocation == PENDING -> skip }
#else
  :: atomic { revocation == PENDING && confirmed -> skip }
#endif
#ifdef REVOCATION_UNCONFIRMED
     atomic { revocation = SENT };
#endif
     if
     :: atomic { true -> printf("%d: publishes the revocation\n", me); revocations++; was_revoked = true;
#ifdef REVOCATION_ID_AT_PUBLISH
          id++;
#endif
          forbid(revoked_unpublished, !was_published) }
        if
        :: atomic { true -> printf("%d: records that the revocation is published\n", me); revocation = SENT }
        :: atomic { faults > 0 -> faults--; printf("%d: is killed\n", me) }
        fi
     :: atomic { faults > 0 -> faults--; printf("%d: is killed\n", me) }
     fi
  od
}

/* Drops copies by id, remembers what was revoked until the action expires, and runs nothing that has expired. */
proctype Worker() {
end:
  do
  :: atomic { actions > 0 -> actions--; printf("5: receives the action\n");
       if
       :: late -> skip
#ifndef WORKER_RUNS_COPIES
       :: !late && ran -> skip
#endif
#ifndef WORKER_RUNS_REVOKED
       :: !late && !ran && warned -> skip
#endif
       :: else -> printf("5: runs the action\n"); ran = true; runs++;
            forbid(run_twice, runs > 1); forbid(run_after_revocation, warned)
       fi }
  :: atomic { revocations > 0 -> printf("5: receives the revocation\n"); revocations--;
       if
       :: warned && warned_id == id -> skip
       :: else -> warned = true; warned_id = id; undone++; forbid(revoked_twice, undone > 1)
       fi }
  /* The outcome: what was run is not revoked. */
  :: atomic { ran && !closed -> printf("5: reports that it is accepted\n"); closed = true }
  od
}

proctype Clock() {
  atomic { late = true; printf("6: the action expires\n") };
  /* No other step is possible. */
  timeout ->
  atomic {
    forbid(revocation_lost, revocation != NONE && was_published && !was_revoked && !given_up);
    forbid(action_stuck, !confirmed && !given_up || revocation == PENDING)
  }
}

init {
  atomic {
    run Publish(1); run Publish(2); run Operator(); run Revoke(); run SendRevocation(1); run SendRevocation(2); run Worker(); run Clock()
  }
}
