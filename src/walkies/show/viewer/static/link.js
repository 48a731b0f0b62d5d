// The socket to the program, in a worker: where drawing holds up the page, its command is still repeated.

const INTERVAL = 50; // ms between commands while driving
const HELD_UP = 1000; // ms that the page may be held up; then it counts as gone, and half a second later the robot stops

let socket = null, command = null, last = 0;

const say = (message) => { if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message)); };

function connect() {
  socket = new WebSocket(`ws://${location.host}/drive`);
  socket.onmessage = (event) => postMessage(JSON.parse(event.data));
  socket.onclose = () => {
    command = null;
    postMessage({ closed: true });
    setTimeout(connect, 2000);
  };
}

onmessage = ({ data }) => {
  if (data.command) {
    last = performance.now();
    command = data.command.some((value) => value !== 0) ? data.command : null;
  }
  say(data);
};

setInterval(() => {
  const silent = performance.now() - last;
  if (command && silent > INTERVAL && silent < HELD_UP) say({ command });
}, INTERVAL);

connect();
