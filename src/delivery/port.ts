/**
 * Hands messages of one kind to whoever brings them to people. One file per provider implements it.
 */
export interface Provider<Message> {
  readonly name: string;
  /**
   * Resolves when the provider has taken the message. `signal` ends the try. Every try of one message is given the
   * same object, by which a provider may know it again.
   * @throws DeliveryError
   */
  send(message: Message, signal: AbortSignal): Promise<void>;
  /** Lets go of connections that it kept open. Nothing is sent afterwards. */
  close?(): void;
}

/** A message that was not taken. The text is for the log and never holds the message, a secret or who it was for. */
export class DeliveryError extends Error {
  /** Whether the same message may be taken a moment later: a provider that is away or busy, not a number it refuses. */
  readonly retryable: boolean;
  /** Whether it tells of the provider rather than of this message: it counts for the circuit breaker. */
  readonly ofProvider: boolean;

  constructor(
    message: string,
    {
      retryable,
      ofProvider = retryable,
      cause,
    }: { retryable: boolean; ofProvider?: boolean; cause?: unknown },
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'DeliveryError';
    this.retryable = retryable;
    this.ofProvider = ofProvider;
  }
}

export interface OutboxState {
  /** Messages taken and neither delivered nor given up. */
  waiting: number;
  /** The provider is left alone for a while, because it kept failing. */
  isBroken: boolean;
}

/** The service's side of delivery: takes messages, brings them to the provider, tries again, gives up. */
export interface Outbox<Message> {
  /**
   * Asked before anything is counted, whoever the message would be for.
   * @throws delivery_unavailable while the provider is known to be down or too much waits for it
   */
  requireOpen(): void;
  /**
   * Takes a message, or `undefined` where none is to be sent and nobody may notice. In the background it resolves at
   * once, before the provider is asked; inline (nothing runs after the answer) it waits for the provider, and for a
   * floor in any case. `onLost` is told when the message was given up.
   */
  post(message: Message | undefined, onLost: (error: unknown) => void): Promise<void>;
  /** For the metrics. */
  state(): OutboxState;
  /** Waits, within a bound, for what is under way. */
  close(): Promise<void>;
}
