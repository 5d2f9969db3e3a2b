/* The actions of one process after the commit: publishing, confirms, and the relay that recovers from failures. */

inline reach_queue(i, a) {
  printf("%d: its action %d reaches the queue under id %d\n", i, a, id[a]);
  forbid(action_for_uncommitted_event, !(stored & BIT(a)));
  forbid(action_with_two_ids, (queued & BIT(a)) && queued_id[a] != id[a]);
  forbid(copy_without_a_fault, (queued & BIT(a)) && faults == FAULTS);
  queued = queued | BIT(a);
  queued_id[a] = id[a];
  sent[i] = sent[i] & ~BIT(a);
  taken[i] = taken[i] | BIT(a)
}

/* The connection is lost, the broker refuses or returns the action, or its confirm is lost. */
inline note_failure(i, a) {
  printf("%d: has action %d refused, or misses its confirmation\n", i, a);
  faults--;
#ifdef NO_CONFIRMS
  /* Counts as published because it was sent. */
  confirmed[i] = confirmed[i] | BIT(a)
#else
  failed[i] = failed[i] | BIT(a)
#endif
}

/* AMQPActionPublisher, for each action separately: the broker may accept one and lose the next. */
proctype Publisher(byte i; byte a) {
end:
  do
  :: atomic { sent[i] & BIT(a) -> reach_queue(i, a) }
  :: atomic { taken[i] & BIT(a) -> printf("%d: has action %d confirmed\n", i, a);
       taken[i] = taken[i] & ~BIT(a); confirmed[i] = confirmed[i] | BIT(a) }
  :: atomic { (sent[i] & BIT(a)) && faults -> sent[i] = sent[i] & ~BIT(a); note_failure(i, a) }
  :: atomic { (taken[i] & BIT(a)) && faults -> taken[i] = taken[i] & ~BIT(a); note_failure(i, a) }
  od
}

inline release(i, a) {
  printf("%d: gives action %d back\n", i, a);
#ifdef RELEASE_UNGUARDED
  forbid(taken_from_a_live_holder, !(published & BIT(a)) && is_held_elsewhere(i, a));
  if
  :: outbox & ~published & BIT(a) -> holder[a] = NOBODY
  :: else
  fi
#else
  if
  :: (outbox & ~published & BIT(a)) && holder[a] == i -> holder[a] = NOBODY
  :: else
  fi
#endif
}

inline claim(i, a) {
  printf("%d: claims action %d\n", i, a);
  forbid(taken_from_a_live_holder, is_held_elsewhere(i, a));
  holder[a] = i;
#ifdef ID_AT_PUBLISH
  id[a] = id[a] + 1
#endif
}

/* The answer to a claim is lost. The next claim finds the rows, unless the process counts them as being published. */
inline lose_claim(i, a) {
#ifdef CLAIM_FORGETS
  claims[i] = claims[i] | BIT(a);
#endif
  lose_answer(i)
}

/* ActionRelay on PostgresEventStore's control connection. The steps of a turn come in any order here, which is more than the code allows. */
proctype Relay(byte i; byte a) {
end:
  do
  /* Marks confirmed actions as published, again if the answer is lost. */
  :: atomic { up[i] && (confirmed[i] & BIT(a)) ->
       printf("%d: marks action %d as published\n", i, a);
       take_lock(i); mark(BIT(a)); confirmed[i] = confirmed[i] & ~BIT(a); claims[i] = claims[i] & ~BIT(a) }
  :: atomic { up[i] && (confirmed[i] & BIT(a)) && faults -> take_lock(i); mark(BIT(a)); lose_answer(i) }
#ifndef NO_RELEASE
  :: atomic { up[i] && (failed[i] & BIT(a)) -> take_lock(i); release(i, a); failed[i] = failed[i] & ~BIT(a); claims[i] = claims[i] & ~BIT(a) }
  :: atomic { up[i] && (failed[i] & BIT(a)) && faults -> take_lock(i); release(i, a); lose_answer(i) }
#endif
#ifndef NO_RELAY
  :: atomic { up[i] && is_claimable(i, a) ->
       take_lock(i);
       if
       :: is_claimable(i, a) -> claim(i, a); sent[i] = sent[i] | BIT(a); claims[i] = claims[i] | BIT(a)
       :: else
       fi
     }
  :: atomic { up[i] && is_claimable(i, a) && faults ->
       take_lock(i);
       if
       :: is_claimable(i, a) -> claim(i, a); lose_claim(i, a)
       :: else
       fi
     }
#endif
  od
}
