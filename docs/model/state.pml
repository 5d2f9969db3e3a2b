/* The state of the model: bounds, the broker's queues, the database's rows, the memory of each instance, and the properties. */

/* Messages whose event the database accepts; each leads to one action. */
#ifndef EVENTS
#define EVENTS 2
#endif
/* Messages that are rejected and become dead letters. */
#ifndef REJECTS
#define REJECTS 1
#endif
/* The maximum number of faults in a run, of any kind, at any step. */
#ifndef FAULTS
#define FAULTS 2
#endif

#define BIT(e) (1 << (e))
#define MESSAGES (EVENTS + REJECTS)
#define EVERY (BIT(MESSAGES) - 1)
#define GOOD (BIT(EVENTS) - 1)
#define REFUSED (EVERY - GOOD)

/* Index 0 of arrays over instances is unused: 0 as a holder means no instance. */
#define INSTANCES 3
#define NOBODY 0
/* The number of all ended processes. Numbers are never reused, so one value represents all of them. */
#define DEAD 3
#define OTHER(i) (3 - (i))

byte faults = FAULTS;

/* ---- The broker. Sets of messages are bit masks. */

byte ready = EVERY;
byte unacked[INSTANCES];
byte parked;
/* Actions that reached their queue, and their ids there. */
byte queued;
byte queued_id[EVENTS];

/* ---- The database. An action's row is stored with its event's, in one transaction. */

byte stored;
byte outbox;
byte published;
byte holder[EVENTS];
byte id[EVENTS];
/* The client's summary, as the set of events that it contains. */
byte summary;
/* Generates the ids of decisions: a repeated decision has another id. */
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
/* The instance's open transaction, and one whose connection is lost, which the server may still commit or roll back. */
Transaction tx[INSTANCES];
Transaction orphan[INSTANCES];

/* ---- The memory of an instance, which is lost in a crash. */

/* The loop index inside a step; unused between steps. */
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
/* The part of the batch that was delivered on the open channel. */
byte current[INSTANCES];
byte dead_letters[INSTANCES];
byte dead_letters_sent[INSTANCES];
byte dead_letters_current[INSTANCES];
/* Actions: sent, accepted but not confirmed, confirmed, failed. */
byte sent[INSTANCES];
byte taken[INSTANCES];
byte confirmed[INSTANCES];
byte failed[INSTANCES];
/* Actions that this process is publishing, from before their COMMIT until their publication is recorded. */
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

/* With ONLY, the run continues until that property is violated, and ignores the others. With ENDS only the formula counts. */
#if defined(ENDS)
#define forbid(flag, condition) skip
#elif defined(ONLY)
#define forbid(flag, condition) if :: (condition) -> flag = true; assert(!ONLY) :: else fi
#else
#define forbid(flag, condition) if :: (condition) -> flag = true; assert(!flag) :: else fi
#endif

/* Nothing is in progress. Claimed actions may remain if another instance has published them. */
#define at_rest(i) (!tx[i].open && !orphan[i].open && phase[i] == resting && unacked[i] == 0 && arrived[i] == 0 && dead_letters[i] == 0 && \
  dead_letters_sent[i] == 0 && sent[i] == 0 && taken[i] == 0 && confirmed[i] == 0 && failed[i] == 0 && (up[i] == locked[i]))

#define settled (ready == 0 && stored == GOOD && parked == REFUSED && queued == GOOD && (outbox & ~published) == 0 && \
  at_rest(1) && at_rest(2))
