import type { ButtonHTMLAttributes } from 'preact';

export interface ButtonProps extends ButtonHTMLAttributes {
  kind?: 'primary' | 'plain' | 'quiet' | 'danger' | 'warning' | 'link';
  wide?: boolean;
  small?: boolean;
  /** Something is under way: another press does nothing. */
  busy?: boolean;
}

export function Button({
  kind = 'plain',
  wide,
  small,
  busy,
  onClick,
  children,
  class: extra,
  ...rest
}: ButtonProps) {
  const looks = ['button', kind, wide && 'wide', small && 'small', extra].filter(Boolean).join(' ');
  return (
    <button
      type="button"
      {...rest}
      class={looks}
      aria-disabled={busy || undefined}
      onClick={busy ? (event) => event.preventDefault() : onClick}
    >
      {busy && <span class="spinner" aria-hidden="true" />}
      {children}
    </button>
  );
}
