import type { ComponentChildren } from 'preact';
import { useEffect } from 'preact/hooks';
import { settings } from './page-settings.js';
import { createStore, useStore } from './store.js';

/** Where the reader is, below the base: `/sign-in`. */
interface Place {
  path: string;
  query: URLSearchParams;
}

const readPlace = (): Place => ({
  path: location.pathname.slice(settings.base.length).replace(/(?<=.)\/$/, ''),
  query: new URLSearchParams(location.search),
});

const place = createStore(readPlace());

addEventListener('popstate', () => place.set(readPlace()));

export const usePlace = (): Place => useStore(place);
export const getPlace = (): Place => place.get();

/** The URL of a page of ours. */
export const urlOf = (path: string): string => settings.base + path;

export function navigate(path: string, { replace = false } = {}): void {
  history[replace ? 'replaceState' : 'pushState'](null, '', urlOf(path));
  place.set(readPlace());
  scrollTo(0, 0);
}

/** Takes the query out of the address bar and the history: a link's token is nobody else's business. */
export function scrubQuery(): void {
  history.replaceState(null, '', location.pathname);
}

interface LinkProps {
  to: string;
  /** It leads to where the reader is. */
  current?: boolean;
  class?: string;
  children: ComponentChildren;
}

/** A link to a page of ours, drawn without loading anything; new tabs and the like are left to the browser. */
export function Link({ to, current, class: looks, children }: LinkProps) {
  return (
    <a
      class={looks}
      href={urlOf(to)}
      aria-current={current ? 'page' : undefined}
      onClick={(event) => {
        if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
        event.preventDefault();
        navigate(to);
      }}
    >
      {children}
    </a>
  );
}

/** Names the page in the browser's tab, and moves the focus to its heading when one comes from another page. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Latchkey`;
  }, [title]);
}

/**
 * Where to go after signing in: a path of this origin, or nothing. A browser reads `/\evil.example` and the like as
 * another host, so it is the browser's reading that counts.
 */
export function readNext(query: URLSearchParams): string | undefined {
  const next = query.get('next');
  if (!next?.startsWith('/') || !URL.canParse(next, location.origin)) return undefined;
  const { origin, pathname, search, hash } = new URL(next, location.origin);
  // `/.//evil.example` is a path of ours until it is read once more: as `//evil.example`.
  const isHere = origin === location.origin && !pathname.startsWith('//');
  return isHere ? pathname + search + hash : undefined;
}
