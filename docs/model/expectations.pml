/* A silence contract about one invoice: it is opened, settled, taken back, and fired by the sweeps of two instances, in any order.
 *
 * Separate from the protocol, because here only one row matters. README.md explains it; scripts/model checks it. */

#define BIT(n) (1 << (n))

/* The events' times: two that open the contract, one that settles it before, between or after them. Each opening event is due when `now` is half its time. */
#define FIRST 2
#define SECOND 4
#define OPENINGS (BIT(FIRST) | BIT(SECOND))
#define END 2
/* When a row is looked at again: in a minute or an hour, which may pass at any time; or never. */
#define SOON 3
#define NEVER 4

/* How often a process may be killed, at any step. */
#ifndef FAULTS
#define FAULTS 1
#endif
byte kills = FAULTS;

byte now;
byte settling;
/* Sets of events are bit masks of their times. The broker's queue, the stored events, and those of them that count: a voided one does not. */
byte queue;
byte stored;
byte valid;
/* The events that were fired, by the times of the opening events, and those of them that are voided. */
byte fired;
byte fired_voided;

/* The row of journey_expectations; 0: none. Without lost updates it says what the events say. */
byte openings;
byte settled_at;
byte fired_for;
byte check_at = NEVER;
/* The process that holds the client's state; 0: none. */
byte holder;
/* The host has deleted an event: the client's summary is empty, and the row is to be made from the events. */
bool unread;
/* The run has ended. */
bool ended;

/* Properties. With ONLY, a run continues to its end. */
bool fired_though_settled;
bool fired_for_nothing;
bool fired_twice;
bool said_again;
bool fired_early;
bool looked_at_late;
bool never_fired;
bool row_differs;
#if defined(ENDS)
#define forbid(flag, condition) skip
#elif defined(ONLY)
#define forbid(flag, condition) if :: (condition) -> flag = true; assert(!ONLY) :: else fi
#else
#define forbid(flag, condition) if :: (condition) -> flag = true; assert(!flag) :: else fi
#endif

#ifdef NO_CLIENT_LOCK
#define is_free true
#else
#define is_free (holder == 0)
#endif

#define due(opening) ((opening) / 2)
#define later(a, b) (a > b -> a : b)
/* ExpectationState.merge: what was settled at or after an opening event closes it. */
#define unsettled(o, s) ((o) & ~(BIT(s + 1) - 1))
#define earliest(o) ((o) & BIT(FIRST) -> FIRST : ((o) & BIT(SECOND) -> SECOND : 0))
#define latest(o) ((o) & BIT(SECOND) -> SECOND : ((o) & BIT(FIRST) -> FIRST : 0))
/* ExpectationState.openedAt: of one invoice it is said once, until it is settled. */
#define opened(o, s, f) (f > s -> 0 : earliest(o))

/* What the stored events say. A fired event counts even if it is voided, so it does not come again. */
#ifdef VOIDED_COMES_AGAIN
#define said (fired & ~fired_voided)
#else
#define said fired
#endif
#define true_settled_at (valid & BIT(settling) -> settling : 0)
#define true_openings unsettled(valid & OPENINGS, true_settled_at)
#define true_fired_for latest(said)

/* ExpectationUpdates.Row.checkAt: what is due already waits for what may arrive with it. */
#define look(opening) (opening == 0 -> NEVER : (due(opening) > now -> due(opening) : SOON))
#define schedule check_at = look(opened(openings, settled_at, fired_for))
#define write(o, s, f) openings = o; settled_at = s; fired_for = f; schedule; unread = false
/* The row is made from the stored events. */
#define remake write(true_openings, true_settled_at, true_fired_for)

/* A transaction locks the client, and reads the row, or the events if the client is unread. */
inline begin(me) {
  atomic { is_free -> holder = me;
    if
    :: unread -> o = true_openings; s = true_settled_at; f = true_fired_for
    :: else -> o = openings; s = settled_at; f = fired_for
    fi }
}
inline kill(me) { kills--; printf("%d: is killed\n", me) }

inline any_of(set) {
  if
  :: (set) & BIT(FIRST) -> e = FIRST
  :: (set) & BIT(SECOND) -> e = SECOND
  :: (set) & BIT(settling) -> e = settling
  fi
}

/* BatchCommit: stores an event, at least once, and in the same transaction what it means for the contract. */
proctype Commit(byte me) {
  byte e, o, s, f;
end:
  do
  :: atomic { queue -> any_of(queue); queue = queue & ~BIT(e) }
     begin(me);
     if
     :: atomic { !(stored & BIT(e)) ->
          printf("%d: stores the event of %d\n", me, e);
          stored = stored | BIT(e); valid = valid | BIT(e);
          if
#ifdef SETTLES_WHAT_IS_OPEN
          :: e == settling -> s = (opened(o, s, f) -> later(s, e) : s)
#else
          :: e == settling -> s = later(s, e)
#endif
          :: else -> o = o | BIT(e)
          fi;
          write(unsettled(o, s), s, f); holder = 0 }
        if
        :: true
        /* After COMMIT, before the message is acknowledged. */
        :: atomic { kills > 0 -> kill(me); queue = queue | BIT(e) }
        fi
     :: atomic { stored & BIT(e) -> printf("%d: has the event of %d already\n", me, e); holder = 0 }
     :: atomic { kills > 0 -> kill(me); queue = queue | BIT(e); holder = 0 }
     fi;
     atomic { e = 0; o = 0; s = 0; f = 0 }
  od
}

/* fireDueExpectations: claims the row, looks for its opening event, and stores the event by an ordinary commit, which also marks the row. */
proctype Sweep(byte me) {
  byte opening, o, s, f;
  bool is_due;
#ifdef MARKS_LATER
  bool fires;
#endif
end:
  do
  :: atomic { check_at <= now ->
       o = openings; s = settled_at; f = fired_for; opening = opened(o, s, f);
       printf("%d: claims the row, which was opened at %d\n", me, opening);
#ifdef FIRES_WHEN_LOOKED_AT
       is_due = true;
#else
       is_due = due(opening) <= now;
#endif
#ifdef CLAIMS_FOR_GOOD
       check_at = NEVER }
#else
       check_at = SOON }
#endif
     if
     /* ExpectationStatements.reschedule: unless a commit has changed the row meanwhile. */
     :: atomic { !is_due ->
#ifndef RESCHEDULES_BLINDLY
          if
          :: openings != o || settled_at != s || fired_for != f -> goto over
          :: else
          fi;
#endif
          printf("%d: looks again when it is due\n", me); check_at = look(opening);
          forbid(looked_at_late, check_at != SOON && check_at > look(opened(openings, settled_at, fired_for)));
          goto over }
     :: atomic { is_due -> is_due = false; o = 0; s = 0; f = 0;
          if
          :: !(valid & BIT(opening)) -> printf("%d: does not find the opening event\n", me); goto over
          :: else
          fi }
     fi;
     if
     :: true
     :: atomic { kills > 0 -> kill(me); goto over }
     fi;
     begin(me);
     if
     :: atomic { true ->
          if
#ifndef NEITHER_ID_NOR_LOOK
          /* The event's id is made of the time of the opening event. */
          :: fired & BIT(opening) -> printf("%d: has fired already\n", me)
          /* Under the lock it looks again: what it claimed may be settled, voided or fired meanwhile. */
#if defined(LOOKS_WHETHER_OPEN)
          :: !(fired & BIT(opening)) && !opened(o, s, f) ->
#elif defined(LOOKS_AT_THE_OLD_ROW)
          :: !(fired & BIT(opening)) && opened(openings, settled_at, fired_for) != opening ->
#elif defined(FIRES_WHAT_IT_CLAIMED)
          :: false ->
#else
          :: !(fired & BIT(opening)) && opened(o, s, f) != opening ->
#endif
               printf("%d: finds that it is not expected any more\n", me)
#endif
          :: else ->
            printf("%d: fires for the event of %d at %d\n", me, opening, now);
            forbid(fired_twice, fired & BIT(opening));
            forbid(fired_early, due(opening) > now);
            forbid(fired_though_settled, true_settled_at > opening);
            forbid(fired_for_nothing, !(valid & BIT(opening)));
            forbid(said_again, latest(fired) > true_settled_at);
            fired = fired | BIT(opening);
#ifndef MARKS_LATER
            f = later(f, opening); write(o, s, f)
#else
            fires = true
#endif
          fi;
          holder = 0 }
#ifdef MARKS_LATER
        if
        :: atomic { fires -> fired_for = later(fired_for, opening); schedule }
        :: atomic { !fires -> skip }
        :: atomic { kills > 0 -> kill(me) }
        fi;
        fires = false
#endif
     :: atomic { kills > 0 -> kill(me); holder = 0 }
     fi;
over:
     atomic { opening = 0; o = 0; s = 0; f = 0 }
  od
}

/* EventVoiding: voids an event, perhaps restores it, and makes the row from the events in the same transaction. Or the host deletes an event, for
 * which a trigger empties the client's summary. */
proctype Operator() {
  byte e;
  if
  :: atomic { is_free && valid -> any_of(valid); printf("4: voids the event of %d\n", e); valid = valid & ~BIT(e);
#ifndef VOIDS_ONLY_THE_EVENT
       remake
#endif
     }
     if
     :: atomic { is_free -> printf("4: restores the event of %d\n", e); valid = valid | BIT(e); remake }
     :: true
     fi
  :: atomic { is_free && fired -> printf("4: voids what was fired\n"); fired_voided = fired; remake }
  /* The row of the other client may be due earlier; what the union means is worked out when it is looked at. */
  :: atomic { is_free && check_at != NEVER -> printf("4: merges another client into this one\n"); check_at = SOON }
  :: atomic { is_free && stored -> any_of(stored); printf("3: deletes the event of %d\n", e);
       stored = stored & ~BIT(e); valid = valid & ~BIT(e); unread = true }
  :: true
  fi;
  e = 0
}

/* DueCommit: a client without a summary is evaluated soon. */
proctype Evaluate() {
end:
  do
  :: atomic { unread && is_free -> printf("6: the row is made from the events\n"); remake }
  od
}

/* A minute, or an hour, passes. For the formula, a client is evaluated within this time: otherwise a sweep might hold the lock whenever it is tried. */
#ifdef ENDS
#define has_time_passed (check_at == SOON && !unread)
#else
#define has_time_passed (check_at == SOON)
#endif
proctype Wait() {
end:
  do
  :: atomic { has_time_passed -> check_at = now }
  od
}

proctype Clock() {
  do
  :: atomic { now < END -> now++; printf("6: the time is %d\n", now) }
  :: atomic { now == END -> break }
  od;
  /* No other step is possible. */
  timeout ->
  atomic {
    ended = true;
    forbid(never_fired, opened(true_openings, true_settled_at, true_fired_for));
    forbid(row_differs, openings != true_openings || settled_at != true_settled_at || fired_for != true_fired_for)
  }
}

init {
  atomic {
    if
    :: settling = FIRST - 1
    :: settling = FIRST + 1
    :: settling = SECOND + 1
    fi;
    /* Any of the events may never come. */
    if
    :: queue = OPENINGS
    :: queue = OPENINGS | BIT(settling)
    :: queue = BIT(FIRST) | BIT(settling)
    fi;
    run Commit(1); run Sweep(1); run Sweep(2); run Operator(); run Evaluate(); run Wait(); run Clock()
  }
}

#ifdef ENDS
ltl ends_fired { <> ended }
#endif
