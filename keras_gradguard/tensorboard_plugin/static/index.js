// The module that TensorBoard imports; the rest lies in static/.
export { render } from "./static/main.js";
