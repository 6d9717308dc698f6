import { mount } from 'svelte';
import App from './view/App.svelte';
import './view/app.css';
import { followTheme } from './lib/theme';

followTheme();
mount(App, { target: document.body });
