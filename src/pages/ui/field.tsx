import type { ComponentChildren } from 'preact';
import { useId, useState } from 'preact/hooks';
import { useTexts } from '../locale.js';
import { uiTexts } from '../texts/ui.js';
import { EyeIcon, EyeOffIcon, SmallAlertIcon } from './icons.js';

export interface FieldProps {
  name: string;
  label: string;
  type?: 'text' | 'email' | 'tel' | 'search' | 'password' | 'datetime-local';
  autocomplete?: AutoFill;
  inputMode?: 'numeric' | 'tel';
  autocapitalize?: 'none';
  spellcheck?: boolean;
  maxLength?: number;
  placeholder?: string;
  /** What is in it at first. Afterwards it is the reader's: drawing the form anew must not undo what was typed. */
  initial?: string;
  disabled?: boolean;
  /** Names are written in whatever direction their letters have. */
  dir?: 'auto';
  class?: string;
  onInput?: (event: InputEvent) => void;
  /** What is wrong with the value. */
  fault?: string | undefined;
  hint?: string | undefined;
  /** Beside the label. */
  aside?: ComponentChildren;
  /** Is always written from left to right: addresses, numbers, codes. */
  latin?: boolean;
  /** Within the input, at its end. */
  children?: ComponentChildren;
}

type AutoFill =
  | 'username'
  | 'current-password'
  | 'new-password'
  | 'one-time-code'
  | 'email'
  | 'tel'
  | 'nickname'
  | 'given-name'
  | 'family-name'
  | 'off';

/** A labelled input; hint and fault are tied to it for screen readers. */
export function Field({
  label,
  fault,
  hint,
  aside,
  latin,
  children,
  class: extra,
  dir,
  type = 'text',
  initial,
  ...input
}: FieldProps) {
  const id = useId();
  const described = [hint && `${id}-hint`, fault && `${id}-fault`].filter(Boolean).join(' ');
  const control = (
    <input
      {...input}
      defaultValue={initial}
      // Each type has attributes of its own there; those used here are common to all.
      type={type as 'text'}
      id={id}
      class={`input${latin ? ' latin' : ''}${extra ? ` ${extra}` : ''}`}
      dir={latin ? 'ltr' : dir}
      aria-describedby={described || undefined}
      aria-invalid={fault ? true : undefined}
    />
  );
  return (
    <div class="field">
      <div class="field-head">
        <label for={id}>{label}</label>
        {aside}
      </div>
      {children ? (
        <div class="with-button">
          {control}
          {children}
        </div>
      ) : (
        control
      )}
      {hint && (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
      <Fault id={id} text={fault} />
    </div>
  );
}

const Fault = ({ id, text }: { id: string; text: string | undefined }) =>
  text ? (
    <p class="fault" id={`${id}-fault`}>
      <SmallAlertIcon />
      {text}
    </p>
  ) : null;

/** A password that may be looked at. */
export function PasswordField(props: FieldProps) {
  const [isShown, setShown] = useState(false);
  const texts = useTexts(uiTexts);
  return (
    <Field latin autocapitalize="none" spellcheck={false} {...props} type={isShown ? 'text' : 'password'}>
      <button
        type="button"
        class="button icon quiet"
        aria-pressed={isShown}
        aria-label={texts.showPassword}
        onClick={() => setShown(!isShown)}
      >
        {isShown ? <EyeOffIcon /> : <EyeIcon />}
      </button>
    </Field>
  );
}

export interface SelectFieldProps {
  name: string;
  label: string;
  value?: string;
  options: readonly (readonly [value: string, label: string])[];
  fault?: string | undefined;
  disabled?: boolean;
  small?: boolean;
  onChange?: (value: string) => void;
}

export function SelectField({
  name,
  label,
  value,
  options,
  fault,
  disabled,
  small,
  onChange,
}: SelectFieldProps) {
  const id = useId();
  return (
    <div class="field">
      <div class="field-head">
        <label for={id}>{label}</label>
      </div>
      <select
        id={id}
        name={name}
        class={`input${small ? ' small' : ''}`}
        disabled={disabled}
        aria-describedby={fault ? `${id}-fault` : undefined}
        aria-invalid={fault ? true : undefined}
        onChange={(event) => onChange?.(event.currentTarget.value)}
      >
        {options.map(([key, text]) => (
          <option key={key} value={key} selected={key === value}>
            {text}
          </option>
        ))}
      </select>
      <Fault id={id} text={fault} />
    </div>
  );
}
