import type { PageSettings } from './settings.js';

const written = document.querySelector('meta[name="latchkey"]')?.getAttribute('content');

export const settings = JSON.parse(written ?? '{}') as PageSettings;
