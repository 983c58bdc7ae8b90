// Vega and Vega-Lite charts, loaded inside an isolated frame.
import * as vega from "vega";
import embed from "vega-embed";
import * as vegaLite from "vega-lite";

// All that the three public files leave behind for which this stands in.
Object.assign(window, { vega, vegaLite, vegaEmbed: embed });
