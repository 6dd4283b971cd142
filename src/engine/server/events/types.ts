/** What an event is about. */
export type EventType = 'container' | 'image' | 'network' | 'volume' | 'daemon' | 'builder';

/** Something that happened, as its publisher knows it. */
export interface NewEvent {
  readonly type: EventType;
  /** Docker's word: `create`, `start`, `die`, `pull`, `tag`, `exec_start: /bin/sh`, … */
  readonly action: string;
  /** Id of the container, image, network; name of the volume. */
  readonly id: string;
  /** Docker's attributes: `name`, `image`, `exitCode`, labels, … */
  readonly attributes: Readonly<Record<string, string>>;
}

/** A published event. */
export interface EngineEvent extends NewEvent {
  readonly timeNano: bigint;
}

/** What a prune is about. */
export type PruneType = 'container' | 'image' | 'network' | 'volume' | 'builder';

/** Where modules tell what happened. */
export interface EventPublisher {
  publish(event: NewEvent): void;
}
