/* One process. Each option of the loop is one step. A crash or a step of another instance may come before each. */

inline settle(i, messages) { unacked[i] = unacked[i] & ~(messages) }

/* A new session takes the lock first. */
#ifdef HOLDER_BY_PID
#define notices_new_session(i) (!same_pid[i])
#else
#define notices_new_session(i) true
#endif
inline take_lock(i) { locked[i] = locked[i] || notices_new_session(i) }

/* The answer on the control connection is lost. The session ends now or later. */
inline lose_answer(i) {
  printf("%d: loses the answer\n", i);
  faults--;
  if
  :: locked[i] = false
  :: true
  fi
}

/* The commit's answer is lost. The commit is retried, and the process does not claim the actions that it may have stored. */
inline fail_commit(i) {
  faults--;
  claims[i] = claims[i] & ~tx[i].new;
  confirmed[i] = confirmed[i] | tx[i].marks;
  phase[i] = failing
}

/* The commit is answered. The actions that it marked as published are finished. */
inline end_commit(i) {
#ifdef CLAIM_AFTER_COMMIT
  claims[i] = claims[i] | tx[i].new;
#endif
  claims[i] = claims[i] & ~tx[i].marks
}

inline send_decided(i) {
  end_commit(i);
#ifdef PUBLISH_BEFORE_COMMIT
  skip
#else
  sent[i] = sent[i] | tx[i].new
#endif
}

inline acknowledge_batch(i) {
  settle(i, current[i] & GOOD);
#ifdef STALE_TAGS
  /* Tags start at 1 on each channel, so a tag of an earlier channel identifies another message on this one. */
  if
  :: batch[i] & ~current[i] ->
    select (e : 0 .. MESSAGES - 1);
    settle(i, BIT(e))
  :: else
  fi;
#endif
  dead_letters[i] = dead_letters[i] | (current[i] & REFUSED);
  dead_letters_current[i] = dead_letters_current[i] | (current[i] & REFUSED);
#ifdef SETTLE_BEFORE_DEAD_LETTER
  settle(i, current[i] & REFUSED);
#endif
  current[i] = 0
}

proctype CommitWorker(byte i) {
end:
  do
  /* CommitWorker.commit and BatchCommit up to COMMIT, with all messages that have arrived */
  :: atomic { up[i] && phase[i] == resting && arrived[i] && client_lock_is_free && key_is_free(arrived[i]) ->
       printf("%d: begins a commit of messages %d\n", i, arrived[i]); batch[i] = arrived[i]; current[i] = arrived[i]; arrived[i] = 0;
#ifdef SETTLE_BEFORE_COMMIT
       settle(i, batch[i] & GOOD);
#endif
       begin(i); phase[i] = running }
  /* the retry after a failure */
  :: atomic { phase[i] == failing && client_lock_is_free && key_is_free(batch[i]) ->
       printf("%d: begins it again\n", i); begin(i); phase[i] = running }
  :: atomic { phase[i] == running -> printf("%d: is committed\n", i); apply(tx[i]); tx[i].open = false; phase[i] = answered }
  /* the connection is lost before or after the server has ended the transaction */
  :: atomic { phase[i] == running && faults && !orphan[i].open ->
       printf("%d: loses the connection, the transaction still open\n", i); fail_commit(i);
       copy_transaction(orphan[i], tx[i]); clear_transaction(tx[i]) }
  :: atomic { phase[i] == answered && faults ->
       printf("%d: loses the answer to COMMIT\n", i); fail_commit(i); clear_transaction(tx[i]) }
  /* Outbox.publishAtOnce, then CommitWorker.settle */
  :: atomic { phase[i] == answered ->
       printf("%d: sends actions %d\n", i, tx[i].new); send_decided(i); clear_transaction(tx[i]); phase[i] = sent_batch }
  :: atomic { phase[i] == sent_batch ->
       printf("%d: settles messages %d\n", i, current[i]); acknowledge_batch(i); batch[i] = 0; phase[i] = resting }
  /* if the confirm window is full: CommitWorker.settle, then Outbox.publish */
  :: atomic { phase[i] == answered -> printf("%d: settles messages %d\n", i, current[i]); acknowledge_batch(i); phase[i] = settled_batch }
  :: atomic { phase[i] == settled_batch ->
       printf("%d: sends actions %d\n", i, tx[i].new); send_decided(i); clear_transaction(tx[i]); batch[i] = 0; phase[i] = resting }
  /* IngestConsumer.deadLetter: a copy goes to the dead letters, and the message is acknowledged after the copy is confirmed */
  :: atomic { dead_letters[i] -> printf("%d: its dead letters arrive\n", i);
       parked = parked | dead_letters[i]; dead_letters_sent[i] = dead_letters_sent[i] | dead_letters[i]; dead_letters[i] = 0 }
  :: atomic { dead_letters_sent[i] -> printf("%d: acknowledges messages %d\n", i, dead_letters_sent[i] & dead_letters_current[i]);
       settle(i, dead_letters_sent[i] & dead_letters_current[i]); dead_letters_sent[i] = 0; dead_letters_current[i] = 0 }
  :: atomic { dead_letters_sent[i] && faults -> printf("%d: misses the confirmation of dead letters\n", i); faults--;
       dead_letters[i] = dead_letters[i] | dead_letters_sent[i]; dead_letters_sent[i] = 0 }
  od
}
