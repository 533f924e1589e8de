import { render } from 'preact';
import { Pages } from './pages.js';

render(<Pages />, document.getElementById('page') as HTMLElement);
