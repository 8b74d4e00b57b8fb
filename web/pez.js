// Shows on every PEZ node what its search has found so far, and afterwards the prompt, to select and copy.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { Result } from "./result.js";

const NODES = "PEZ";
const HEIGHT = 150;
const UNNAMED = "00000000-0000-0000-0000-000000000000"; // the id of a workflow that has not been given one yet

// Which workflow a run belongs to, by the run's id. A result that comes from ComfyUI's cache belongs to any.
const workflows = new Map();

// The tab that a workflow was queued from, by the workflow's id: when its tab is opened again, it may have another id.
const tabs = new Map();

// What workflows in other tabs have found meanwhile, by workflow and then by path: the editor gives it to the open one.
const missed = new Map();

function resultOf(node) {
    if (!node.pezResult) {
        const result = new Result();
        const widget = node.addDOMWidget("pez_result", "pez_result", result.element, {
            serialize: false,
            hideOnZoom: false,
            getMinHeight: () => HEIGHT,
        });
        widget.serialize = false;
        node.pezResult = result;
        const [width, height] = node.computeSize();
        node.setSize([Math.max(width, node.size[0]), Math.max(height, node.size[1])]);
        if (LiteGraph.vueNodesMode) node.graph?.onNodeAdded?.(node); // or older editors leave out a widget that comes late
    }
    return node.pezResult;
}

function openGraph() {
    return app.rootGraph ?? app.graph;
}

// Our node at a path: a node inside subgraphs is named by the nodes that lead to it, such as "7:3", or by the subgraph's
// own id, such as "4f0c…:3".
function nodeAt(path) {
    let graph = openGraph();
    let node = null;
    for (const id of String(path).split(":")) {
        const subgraph = graph?.subgraphs?.get(id);
        node = subgraph ? null : graph?.getNodeById(id);
        graph = subgraph ?? node?.subgraph;
    }
    return node?.comfyClass?.startsWith(NODES) ? node : null;
}

function openTab() {
    return app.extensionManager?.workflow?.activeWorkflow?.path;
}

function belongsElsewhere(workflow) {
    const open = openGraph()?.id;
    if (!workflow || !open || workflow === UNNAMED || workflow === open) return false;
    return !tabs.has(workflow) || tabs.get(workflow) !== openTab();
}

function showFound(path, output) {
    const found = output?.pez;
    if (!found?.length || belongsElsewhere(workflows.get(found[0].run))) return;
    const node = nodeAt(path);
    if (node) resultOf(node).showFound(found);
}

api.addEventListener("promptQueued", () => tabs.set(openGraph()?.id, openTab()));

api.addEventListener("progress", ({ detail: { node: path, pez } }) => {
    if (!pez) return;
    workflows.set(pez.run, pez.workflow);
    const node = belongsElsewhere(pez.workflow) ? null : nodeAt(path);
    if (node) resultOf(node).showProgress(pez);
});

api.addEventListener("executed", ({ detail: { node, display_node, output, prompt_id } }) => {
    const [found] = output?.pez ?? [];
    if (!found) return;
    if (found.run !== prompt_id) workflows.delete(found.run);
    const [path, workflow] = [display_node ?? node, workflows.get(found.run)];
    const others = { ...missed.get(workflow) };
    delete others[path];
    missed.set(workflow, belongsElsewhere(workflow) ? { ...others, [path]: output } : others);
    showFound(path, output);
});

app.registerExtension({
    name: "PEZ.Results",

    // After undo, redo and a change of tabs, the nodes are new ones.
    onNodeOutputsUpdated(outputs) {
        const here = [...missed].filter(([workflow]) => !belongsElsewhere(workflow)).map(([, found]) => found);
        for (const [path, output] of Object.entries(Object.assign({}, outputs, ...here))) showFound(path, output);
    },
});
