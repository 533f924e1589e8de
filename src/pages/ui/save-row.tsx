import { useTexts } from '../locale.js';
import { uiTexts } from '../texts/ui.js';
import { Button } from './button.js';
import { Notice } from './notice.js';

/** The end of a form that stays: its button, and that it has been done. */
export function SaveRow({ busy, isSaved }: { busy: boolean; isSaved: boolean }) {
  const texts = useTexts(uiTexts);
  return (
    <div class="row">
      <Button type="submit" kind="primary" busy={busy}>
        {texts.save}
      </Button>
      {isSaved && !busy && <Notice kind="good">{texts.saved}</Notice>}
    </div>
  );
}
