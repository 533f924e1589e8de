/** What browsers have and other places of JavaScript may lack. */
interface Runtime {
  localStorage?: {
    getItem(key: string): string | null;
    setItem(key: string, value: string): void;
    removeItem(key: string): void;
  };
  location?: { href: string };
  navigator?: {
    locks?: {
      request(
        name: string,
        options: { signal: AbortSignal },
        granted: () => Promise<unknown>,
      ): Promise<unknown>;
    };
  };
  BroadcastChannel?: new (
    name: string,
  ) => {
    postMessage(message: unknown): void;
    close(): void;
    onmessage: ((event: { data: unknown }) => void) | null;
    /** Node.js: an open channel keeps the process alive. */
    unref?(): void;
  };
}

export const runtime = globalThis as unknown as Runtime;
