// Plotly charts, loaded inside an isolated frame.
import Plotly from "plotly.js-dist-min";

window.Plotly = Plotly;
