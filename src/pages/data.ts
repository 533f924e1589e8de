import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import type { AuthError } from '../client/auth-client.js';

export interface Loaded<Data> {
  /** `undefined` until the first answer. */
  data: Data | undefined;
  problem: AuthError | undefined;
  isLoading: boolean;
  reload(): Promise<void>;
}

/** Loads when drawn and whenever `key` changes; of answers that overtake each other the last asked for counts. */
export function useLoaded<Data>(load: () => Promise<Data>, key = ''): Loaded<Data> {
  const [state, setState] = useState<Omit<Loaded<Data>, 'reload'>>({
    data: undefined,
    problem: undefined,
    isLoading: true,
  });
  const turn = useRef(0);
  const current = useRef(load);
  current.current = load;

  const reload = useCallback(async () => {
    turn.current += 1;
    const mine = turn.current;
    setState((before) => ({ ...before, isLoading: true, problem: undefined }));
    try {
      const data = await current.current();
      if (mine === turn.current) setState({ data, problem: undefined, isLoading: false });
    } catch (error) {
      if (mine !== turn.current) return;
      setState((before) => ({ ...before, problem: error as AuthError, isLoading: false }));
    }
  }, []);

  // biome-ignore lint/correctness/useExhaustiveDependencies: another key is another question.
  useEffect(() => {
    void reload();
    return () => {
      turn.current += 1;
    };
  }, [reload, key]);
  return { ...state, reload };
}

export interface Pages<Item> extends Loaded<Item[]> {
  hasMore: boolean;
  loadMore(): Promise<void>;
}

interface Page<Item> {
  items: Item[];
  next: string | null;
}

/** Pages of a list, one below the other. */
export function usePaged<Item>(load: (cursor: string | null) => Promise<Page<Item>>, key = ''): Pages<Item> {
  const first = useLoaded(() => load(null), key);
  const [more, setMore] = useState<{ after: Page<Item> | undefined; page: Page<Item> }>();
  const [isLoadingMore, setLoadingMore] = useState(false);
  const [problem, setProblem] = useState<AuthError>();
  // What was loaded below a page that is no longer the first one is forgotten.
  const below = more && more.after === first.data ? more.page : undefined;
  const next = (below ?? first.data)?.next ?? null;

  async function loadMore(): Promise<void> {
    if (next === null || isLoadingMore) return;
    setLoadingMore(true);
    setProblem(undefined);
    try {
      const page = await load(next);
      setMore({
        after: first.data,
        page: { items: [...(below?.items ?? []), ...page.items], next: page.next },
      });
    } catch (error) {
      setProblem(error as AuthError);
    } finally {
      setLoadingMore(false);
    }
  }

  return {
    data: first.data && [...first.data.items, ...(below?.items ?? [])],
    problem: first.problem ?? problem,
    isLoading: first.isLoading || isLoadingMore,
    reload: first.reload,
    hasMore: next !== null,
    loadMore,
  };
}
