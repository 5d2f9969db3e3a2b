/* What there is: bounds, the broker's queues, the database's rows, the memory of each instance, and the properties. */

/* Messages whose event the database takes; each leads to one action. */
#ifndef EVENTS
#define EVENTS 2
#endif
/* Messages that are refused and belong in the dead letters. */
#ifndef REJECTS
#define REJECTS 1
#endif
/* How many faults a run may have, of any kind, at any step. */
#ifndef FAULTS
#define FAULTS 2
#endif

#define BIT(e) (1 << (e))
#define MESSAGES (EVENTS + REJECTS)
#define EVERY (BIT(MESSAGES) - 1)
#define GOOD (BIT(EVENTS) - 1)
#define REFUSED (EVERY - GOOD)

/* Index 0 of arrays over instances is unused: 0 as a holder means nobody. */
#define INSTANCES 3
#define NOBODY 0
/* The number of a process that is no more. Numbers are never used again, so one stands for all of them. */
#define DEAD 3
#define OTHER(i) (3 - (i))

byte faults = FAULTS;

/* ---- The broker. Sets of messages are bit masks. */

byte ready = EVERY;
byte unacked[INSTANCES];
byte parked;
/* Actions that reached their queue, and under which id. */
byte queued;
byte queued_id[EVENTS];

/* ---- The database. An action's row appears with its event's, in one transaction. */

byte stored;
byte outbox;
byte published;
byte holder[EVENTS];
byte id[EVENTS];
/* The client's summary, as the set of events that it holds. */
byte summary;
/* Makes the ids of decisions: a decision taken again has another id. */
byte decisions[EVENTS];
/* Whether the instance's session holds its advisory lock. */
bool locked[INSTANCES];

typedef Transaction {
  bool open;
  byte number;
  byte read;
  byte new;
  byte marks;
  byte ids[EVENTS]
}
/* The transaction that the instance waits for, and one whose connection is lost, which the server may still end either way. */
Transaction tx[INSTANCES];
Transaction orphan[INSTANCES];

/* ---- The memory of an instance: all that a crash takes away. */

/* The index of loops inside a step; between steps it means nothing. */
#ifdef BREADTH_FIRST
byte e;
#else
hidden byte e;
#endif

mtype = { resting, running, failing, answered, settled_batch, sent_batch };

bool up[INSTANCES];
mtype phase[INSTANCES] = resting;
byte arrived[INSTANCES];
byte batch[INSTANCES];
/* Of the batch: what was delivered on the channel that is open now. */
byte current[INSTANCES];
byte dead_letters[INSTANCES];
byte dead_letters_sent[INSTANCES];
byte dead_letters_current[INSTANCES];
/* Actions: on the wire, with the broker but not confirmed, confirmed, not published. */
byte sent[INSTANCES];
byte taken[INSTANCES];
byte confirmed[INSTANCES];
byte failed[INSTANCES];
/* Actions that this process is about to publish, from before their COMMIT until it is noted that they are published. */
byte claims[INSTANCES];
#ifdef HOLDER_BY_PID
bool same_pid[INSTANCES];
#endif

/* ---- Properties. A violated one raises its flag, so that the checker's output names it. */

bool event_applied_twice;
bool update_lost;
bool action_for_uncommitted_event;
bool action_with_two_ids;
bool copy_without_a_fault;
bool taken_from_a_live_holder;
bool event_lost;
bool action_lost;
bool instance_without_its_lock;
bool not_settled;

/* With ONLY, the run goes on until that one is violated, whatever else was before it; with ENDS it is the formula alone that counts. */
#if defined(ENDS)
#define forbid(flag, condition) skip
#elif defined(ONLY)
#define forbid(flag, condition) if :: (condition) -> flag = true; assert(!ONLY) :: else fi
#else
#define forbid(flag, condition) if :: (condition) -> flag = true; assert(!flag) :: else fi
#endif

/* Nothing under way. What is claimed may stay so, where it was published by others. */
#define at_rest(i) (!tx[i].open && !orphan[i].open && phase[i] == resting && unacked[i] == 0 && arrived[i] == 0 && dead_letters[i] == 0 && \
  dead_letters_sent[i] == 0 && sent[i] == 0 && taken[i] == 0 && confirmed[i] == 0 && failed[i] == 0 && (up[i] == locked[i]))

#define settled (ready == 0 && stored == GOOD && parked == REFUSED && queued == GOOD && (outbox & ~published) == 0 && \
  at_rest(1) && at_rest(2))
