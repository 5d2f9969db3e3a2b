/* A message of several events that several workers commit. It is settled once, with the last of them.
 *
 * Separate from the protocol, because here only one message matters. README.md explains it; scripts/model checks it. */

#define PARTS 3

/* The state of `InboundMessage`: how many events are undecided, and whether the message is settled. */
byte remaining = PARTS;
bool ended;
/* How many of its events are committed. */
byte committed;
/* Frames that settle it on the channel that delivered it. */
byte acknowledged;
byte returned;
/* The channel is lost. The broker delivers the message again, and nothing settles it here. */
bool lost;

/* Properties. With ONLY, a run continues to its end. */
bool acknowledged_early;
bool settled_twice;
bool never_settled;
#ifdef ONLY
#define forbid(flag, condition) if :: (condition) -> flag = true; assert(!ONLY) :: else fi
#else
#define forbid(flag, condition) if :: (condition) -> flag = true; assert(!flag) :: else fi
#endif

inline check() {
  forbid(acknowledged_early, acknowledged > 0 && committed < PARTS);
  forbid(settled_twice, acknowledged + returned > 1)
}

/* InboundMessage.resolve, then EventSource.settle */
inline resolve() {
#ifdef SETTLES_WITH_THE_FIRST
  if :: !ended -> ended = true; acknowledged = acknowledged + (lost -> 0 : 1) :: else fi
#else
  remaining--;
  if
  :: remaining == 0 -> ended = true; acknowledged = acknowledged + (lost -> 0 : 1)
  :: else
  fi
#endif
}

/* InboundMessage.giveUp, then EventSource.settle: nothing can be committed, or the run ends. */
inline give_up() {
  if
#ifdef GIVES_UP_EACH_EVENT
  :: true -> ended = true; returned = returned + (lost -> 0 : 1)
#else
  :: !ended -> ended = true; returned = returned + (lost -> 0 : 1)
#endif
  :: else
  fi
}

proctype Worker() {
  if
  :: atomic { committed++; printf("1: commits an event\n") }
     atomic { resolve(); printf("1: resolves the event\n"); check() }
  :: atomic { give_up(); printf("1: gives an event up\n"); check() }
  fi
}

proctype Broker() {
  if
  :: lost = true
  :: true
  fi
}

/* Runs when no other step is possible. */
proctype Judge() {
  timeout -> forbid(never_settled, !lost && acknowledged + returned == 0)
}

init {
  atomic { run Worker(); run Worker(); run Worker(); run Broker(); run Judge() }
}
