/* Faults that may happen at any time, while the run has faults left. Faults of a single step are defined with that step. */

inline crash(i) {
  printf("%d: crashes\n", i);
  up[i] = false;
  locked[i] = false;
  drop_channel(i);
  phase[i] = resting;
  batch[i] = 0;
  dead_letters[i] = 0; dead_letters_sent[i] = 0;
  sent[i] = 0; taken[i] = 0; confirmed[i] = 0; failed[i] = 0;
  if
  :: tx[i].open -> copy_transaction(orphan[i], tx[i])
  :: else
  fi;
  clear_transaction(tx[i]);
  /* The next process has another number. */
  if
  :: orphan[i].open -> orphan[i].number = DEAD
  :: else
  fi;
  claims[i] = 0;
  for (e : 0 .. EVENTS - 1) {
    if
    :: holder[e] == i -> holder[e] = DEAD
    :: else
    fi
  }
}

/* The broker delivers unacknowledged messages again. Delivery tags of the old channel are invalid. */
inline drop_channel(i) {
  ready = ready | unacked[i];
  unacked[i] = 0;
  arrived[i] = 0;
  current[i] = 0;
  dead_letters_current[i] = 0
}

inline start(i) {
  printf("%d: starts\n", i);
  up[i] = true;
  locked[i] = true
}

/* The loop may end at any time. A crashed process then stays down, unless the other one is down as well. */
proctype Adversary(byte i) {
  do
  :: break
  :: atomic { faults && up[i] && !(tx[i].open && orphan[i].open) -> faults--; crash(i) }
  :: atomic { !up[i] && up[OTHER(i)] -> start(i) }
  /* The channel to the ingest queue, or its connection. */
  :: atomic { faults && up[i] && unacked[i] -> printf("%d: loses its channel\n", i); faults--; drop_channel(i) }
  /* The session that holds the instance's lock. */
  :: atomic { faults && up[i] && locked[i] -> printf("%d: loses the session of its lock\n", i); faults--; locked[i] = false }
#ifdef HOLDER_BY_PID
  /* The server was restarted, and reuses process ids. */
  :: atomic { faults && up[i] && locked[i] ->
       printf("%d: its next session has the process id of the last\n", i); faults--; locked[i] = false; same_pid[i] = true }
#endif
  od
}
