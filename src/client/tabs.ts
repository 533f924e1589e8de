import type { EndReason } from '../contract/end-reasons.js';
import { runtime } from './runtime.js';
import type { StoredSession } from './session-keeper.js';

/** What tabs tell each other. */
export type Message =
  | { type: 'session'; session: StoredSession }
  | { type: 'end'; sid: string; reason: EndReason }
  | { type: 'busy' | 'idle'; tab: string };

export interface Tabs {
  tell(message: Message): void;
  /** Runs `work` when no other tab is at such work; gives up waiting after the timeout. */
  oneAtATime<T>(work: () => Promise<T>): Promise<T>;
  close(): void;
}

/** The other tabs and clients of this origin that hold the same session. `timeout` is in milliseconds. */
export function openTabs(name: string, timeout: number, hear: (message: Message) => void): Tabs {
  const tab = Math.random().toString(36).slice(2);
  /** Until when to believe that a tab is at work: it may have been closed meanwhile. */
  const busy = new Map<string, number>();
  let wake = () => {};

  let channel = openChannel(name);
  if (channel) {
    channel.onmessage = ({ data }) => {
      const message = data as Message;
      if (message.type === 'busy') busy.set(message.tab, Date.now() + timeout);
      else if (message.type === 'idle') {
        busy.delete(message.tab);
        wake();
      } else hear(message);
    };
  }

  async function othersIdle(): Promise<void> {
    for (;;) {
      const left = Math.max(0, ...busy.values()) - Date.now();
      if (left <= 0) return;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /**
   * Two that start at the same moment are no harm: they send the same token and get the same successor. What must
   * not be is a second refresh while the first one of another tab is under way, whose token would be two behind.
   */
  async function announced<T>(work: () => Promise<T>): Promise<T> {
    await othersIdle();
    channel?.postMessage({ type: 'busy', tab });
    try {
      return await work();
    } finally {
      channel?.postMessage({ type: 'idle', tab });
    }
  }

  return {
    tell: (message) => channel?.postMessage(message),
    // A lock spares requests when many tabs wake up at once. Where there is none, or a sleeping tab holds it: on.
    async oneAtATime<T>(work: () => Promise<T>): Promise<T> {
      let started: Promise<T> | undefined;
      try {
        await runtime.navigator?.locks?.request(name, { signal: AbortSignal.timeout(timeout) }, () => {
          started = announced(work);
          return started.catch(() => {});
        });
      } catch {
        // Not to be had.
      }
      return started ?? announced(work);
    },
    close() {
      channel?.close();
      channel = undefined;
    },
  };
}

function openChannel(name: string) {
  try {
    const channel = runtime.BroadcastChannel && new runtime.BroadcastChannel(name);
    channel?.unref?.();
    return channel;
  } catch {
    // A page in a sandbox has nobody to talk to.
    return undefined;
  }
}

/** For a session that nobody else holds. */
export const NO_TABS: Tabs = { tell() {}, oneAtATime: (work) => work(), close() {} };
