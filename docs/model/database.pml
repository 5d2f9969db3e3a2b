/* PostgreSQL: transactions, the unique key, the client's lock, the outbox. */

#define copy_transaction(to, from) \
  to.open = from.open; to.number = from.number; to.read = from.read; to.new = from.new; to.marks = from.marks; \
  for (e : 0 .. EVENTS - 1) { to.ids[e] = from.ids[e] }

#define clear_transaction(t) \
  t.open = false; t.number = 0; t.read = 0; t.new = 0; t.marks = 0; \
  for (e : 0 .. EVENTS - 1) { t.ids[e] = 0 }

/* All events belong to one client, so there is one lock. This is the worst case. */
#ifdef NO_CLIENT_LOCK
#define client_lock_is_free true
#else
#define client_lock_is_free (!tx[1].open && !tx[2].open && !orphan[1].open && !orphan[2].open)
#endif

/* An insert waits for an open transaction that inserts the same key. */
#ifdef NO_UNIQUE_KEY
#define is_new(events) (events)
#define key_is_free(events) true
#else
#define is_new(events) ((events) & ~stored)
#define inserts(t, events) (t.open && (t.new & (events)))
#define key_is_free(events) (!inserts(tx[1], events) && !inserts(tx[2], events) && !inserts(orphan[1], events) && \
  !inserts(orphan[2], events))
#endif

/* BatchCommit: lock the client, read it, insert new events, decide. */
inline begin(i) {
  tx[i].open = true;
  tx[i].number = i;
  tx[i].marks = confirmed[i];
  confirmed[i] = 0;
  tx[i].read = summary;
  tx[i].new = is_new(batch[i] & GOOD);
  for (e : 0 .. EVENTS - 1) {
    if
    :: tx[i].new & BIT(e) -> decisions[e]++; tx[i].ids[e] = decisions[e]
    :: else
    fi
  };
#ifndef CLAIM_AFTER_COMMIT
  claims[i] = claims[i] | tx[i].new;
#endif
#ifdef PUBLISH_BEFORE_COMMIT
  sent[i] = sent[i] | tx[i].new
#endif
}

inline mark(events) {
  published = published | (events);
  for (e : 0 .. EVENTS - 1) {
    if
    :: published & BIT(e) -> holder[e] = NOBODY
    :: else
    fi
  }
}

inline apply(t) {
  forbid(event_applied_twice, stored & t.new);
  forbid(update_lost, stored & ~(t.read | t.new));
  stored = stored | t.new;
  summary = t.read | t.new;
  mark(t.marks);
#ifndef NO_OUTBOX
  outbox = outbox | t.new;
#endif
  for (e : 0 .. EVENTS - 1) {
    if
    :: t.new & BIT(e) -> holder[e] = t.number; id[e] = t.ids[e]
    :: else
    fi
  }
}

#define holds_lock(number) ((number == 1 && locked[1]) || (number == 2 && locked[2]))

/* The claim skips rows that another transaction has locked (SKIP LOCKED). */
#define marks(t, e) (t.open && (t.marks & BIT(e)))
#define is_row_free(e) (!marks(tx[1], e) && !marks(tx[2], e) && !marks(orphan[1], e) && !marks(orphan[2], e))

#ifdef NO_LIVE_CHECK
#define is_abandoned(e) true
#else
#define is_abandoned(e) (!holds_lock(holder[e]))
#endif

/* A row of this process that it does not know of, because the answer to a commit or a claim was lost. */
#ifdef NO_SECOND_LOOK
#define is_left_behind(i, e) false
#elif defined(SECOND_LOOK_UNGUARDED)
#define is_left_behind(i, e) (!(claims[i] & BIT(e)))
#else
#define is_left_behind(i, e) (holder[e] == i && !(claims[i] & BIT(e)))
#endif

#define is_claimable(i, e) ((outbox & ~published & BIT(e)) && is_row_free(e) && (is_abandoned(e) || is_left_behind(i, e)))

/* Whether another live instance owns the row and is publishing it. */
#define is_held_elsewhere(i, e) (holder[e] == OTHER(i) && holds_lock(OTHER(i)) && ((sent[OTHER(i)] | taken[OTHER(i)]) & BIT(e)))
