// Before the page's own scripts: what goes wrong in them.
window.wrong = [];
window.addEventListener('error', (event) => window.wrong.push(event.message));
