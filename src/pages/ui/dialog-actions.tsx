import type { ComponentChildren } from 'preact';
import { useTexts } from '../locale.js';
import { uiTexts } from '../texts/ui.js';
import { Button } from './button.js';

interface DialogActionsProps {
  busy: boolean;
  onCancel: () => void;
  /** What it does cannot be taken back. */
  dangerous?: boolean;
  /** What the form does, as its button says it. */
  children: ComponentChildren;
}

/** The end of a form in a dialog: out of it, or on. */
export function DialogActions({ busy, onCancel, dangerous = false, children }: DialogActionsProps) {
  const texts = useTexts(uiTexts);
  return (
    <div class="actions">
      <Button onClick={onCancel}>{texts.cancel}</Button>
      <Button type="submit" kind={dangerous ? 'danger' : 'primary'} busy={busy}>
        {children}
      </Button>
    </div>
  );
}
