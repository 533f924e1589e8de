import type { ComponentChildren } from 'preact';
import { AlertIcon, CheckIcon, InfoIcon } from './icons.js';

export type NoticeKind = 'error' | 'good' | 'warn' | 'info';

/** Errors interrupt a screen reader, the rest waits for its turn. */
export function Notice({ kind, children }: { kind: NoticeKind; children: ComponentChildren }) {
  return (
    <div class={`notice ${kind}`} role={kind === 'error' ? 'alert' : 'status'}>
      {kind === 'good' ? <CheckIcon /> : kind === 'info' ? <InfoIcon /> : <AlertIcon />}
      <div>{children}</div>
    </div>
  );
}
