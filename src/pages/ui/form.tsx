import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { AuthError } from '../../client/auth-error.js';
import { fill, formatSeconds, useTexts } from '../locale.js';
import { uiTexts } from '../texts/ui.js';
import { Notice } from './notice.js';

/** What a form holds; a field that was left empty is missing. */
export type Values = Record<string, string>;

export interface FormState {
  busy: boolean;
  /** What the server said against it as a whole. */
  problem: AuthError | undefined;
  /** What is wrong with each field. */
  faults: Values;
}

interface FormProps {
  /** Sends it. What it throws is shown in the form. */
  onSubmit: (values: Values) => Promise<void>;
  /** Fields that must not be empty. */
  required?: readonly string[];
  /** Where a fault is shown that the server reports under another name. */
  alias?: Record<string, string>;
  children: (state: FormState) => ComponentChildren;
  class?: string;
}

const NOTHING: FormState = { busy: false, problem: undefined, faults: {} };

/**
 * A form that says what is wrong with it: each field beside the field, the rest above. The values are those of the inputs
 * at the moment it is sent, so that whatever filled them in (a password manager, say) counts.
 */
export function Form({ onSubmit, required = [], alias = {}, children, class: looks = 'stack' }: FormProps) {
  const form = useRef<HTMLFormElement>(null);
  const isHere = useRef(true);
  const [state, setState] = useState<FormState>(NOTHING);
  const texts = useTexts(uiTexts);

  useEffect(() => {
    isHere.current = true;
    return () => {
      isHere.current = false;
    };
  }, []);
  useEffect(() => {
    if (state.busy) return;
    form.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }, [state]);

  async function submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    if (state.busy || !form.current) return;
    const values = readForm(form.current);
    const missing = required.filter((name) => !values[name]);
    if (missing.length > 0) {
      const faults = Object.fromEntries(missing.map((name) => [name, texts.required]));
      setState({ ...NOTHING, faults });
      return;
    }
    setState({ ...NOTHING, busy: true });
    try {
      await onSubmit(values);
      if (isHere.current) setState(NOTHING);
    } catch (error) {
      if (isHere.current) setState(describeFailure(error as AuthError, alias, form.current));
    }
  }

  const forgive = (event: Event) => {
    const { name } = event.target as HTMLInputElement;
    if (!(name in state.faults)) return;
    const { [name]: _, ...faults } = state.faults;
    setState({ ...state, faults });
  };

  return (
    <form ref={form} class={looks} noValidate onSubmit={submit} onInput={forgive}>
      {state.problem && <ProblemNotice problem={state.problem} />}
      {children(state)}
    </form>
  );
}

function readForm(form: HTMLFormElement): Values {
  const values: Values = {};
  for (const [name, value] of new FormData(form)) {
    if (typeof value === 'string' && value !== '') values[name] = value;
  }
  return values;
}

function describeFailure(error: AuthError, alias: Values, form: HTMLFormElement): FormState {
  const faults: Values = {};
  for (const { field, message } of error.errors ?? []) {
    // `permissions.3` is about one of several values that were typed into one input.
    const base = field.replace(/\.\d+$/, '');
    const name = alias[base] ?? base;
    if (form.elements.namedItem(name)) faults[name] ??= message;
  }
  // What is said beside a field is not said above as well.
  const isSaid = Object.keys(faults).length > 0;
  return { busy: false, problem: isSaid ? undefined : error, faults };
}

/** What went wrong, in words for people, and when to try again. */
export function ProblemNotice({ problem }: { problem: AuthError }) {
  const texts = useTexts(uiTexts);
  const text =
    problem.code === 'network_error'
      ? texts.unreachable
      : problem.code === 'unexpected_answer' || !problem.status
        ? texts.unknown
        : problem.message;
  const wait = problem.status === 429 && problem.retryAfter;
  return (
    <Notice kind="error">
      <p>{text}</p>
      {wait && wait > 1 ? <p>{fill(texts.retryIn, { time: formatSeconds(wait) })}</p> : null}
      {problem.status >= 500 && problem.requestId && (
        <p class="small">{fill(texts.requestId, { id: problem.requestId })}</p>
      )}
    </Notice>
  );
}
