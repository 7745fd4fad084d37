// The table of one SAE's latents, and the view of one latent. Addresses: #latent/SAE/NUMBER.
const $ = (id) => document.getElementById(id);
const about = JSON.parse($("about").textContent);
const bytes = (id) => Uint8Array.from(atob($(id).textContent), (c) => c.charCodeAt(0));
const cache = new Map();

async function latents(sae) {
  if (!cache.has(sae)) {
    const stream = new Blob([bytes(`sae-${sae}`)]).stream().pipeThrough(new DecompressionStream("gzip"));
    cache.set(sae, await new Response(stream).json());
  }
  return cache.get(sae);
}

const form = (x, digits) => (x === null ? "" : x.toFixed(digits));
const rate = (x) => (x === null ? "" : `${(100 * x).toPrecision(2)}%`);
const listed = (x) => (x < 0 ? "" : x);
const link = (sae, latent, text = latent) => `<a href="#latent/${sae}/${latent}">${text}</a>`;
const shown = (text) => Object.assign(document.createElement("i"), { textContent: text }).innerHTML;

const columns = [
  { title: "latent", render: (x, kind, row) => (kind === "display" ? link(row[0], row[1]) : row[1]), data: 1 },
  { title: "verdict", data: 2 },
  { title: "p_hat", data: 3, render: (x, kind) => (kind === "display" ? form(x, 2) : x ?? -1) },
  { title: "at least", data: 4, render: (x, kind) => (kind === "display" ? form(x, 2) : x ?? -1) },
  { title: "rank", data: 5, render: (x, kind) => (kind === "display" ? form(x, 1) : x ?? Infinity) },
  { title: "firing rate", data: 6, render: (x, kind) => (kind === "display" ? rate(x) : x ?? -1) },
  { title: "energy", data: 7, render: (x, kind) => (kind === "display" ? rate(x) : x ?? -1) },
  { title: "identity", data: 8 },
  { title: "subspace", data: 9 },
  { title: "why", data: 10, className: "why", orderable: false },
];

let table = null, current = null;

async function show(sae) {
  if (current === sae) return;
  $("state").textContent = "Reading the latents ...";
  const c = await latents(sae);
  const rows = c.latent.map((j, i) => [
    sae, j, about.verdicts[c.verdict[i]], c.p_hat[i], c.p_hat_low[i], c.rank[i], c.rate[i], c.energy[i],
    listed(c.identity[i]), listed(c.subspace[i]), c.why[i],
  ]);
  const source = URL.createObjectURL(new Blob([bytes("tables")], { type: "text/javascript" }));
  const { default: DataTable } = await import(source);
  if (table) {
    table.clear().rows.add(rows).draw();
  } else {
    const empty = (name) => rows.every((row) => row[columns.find((c) => c.title === name).data] === null);
    for (const name of ["firing rate", "energy"]) if (empty(name)) columns.find((c) => c.title === name).visible = false;
    table = new DataTable("#table", {
      data: rows, columns, deferRender: true, pageLength: 25, scrollX: true, order: [[0, "asc"]],
      language: { search: "Search:", info: "_START_ to _END_ of _TOTAL_ latents" },
    });
  }
  current = sae;
  $("sae").value = sae;
  filter();
  $("state").textContent = "";
}

function filter() {
  const wanted = $("verdict").value;
  const pattern = wanted === "live" ? "^(?!dead$)" : wanted ? `^${wanted}$` : "";
  table?.column(1).search(pattern, { regex: true, smart: false }).draw();
}

function counterparts(c, i, sae) {
  const rows = about.saes.map((name, t) => ({ name, t, j: c.other[i][t], cosine: c.cosine[i][t] }))
    .filter((row) => row.t !== sae && row.j >= 0)
    .map((row) => `<tr><th scope="row">${shown(row.name)}</th><td>${link(row.t, row.j)}</td><td>${form(row.cosine, 2)}</td></tr>`);
  if (!rows.length) return "";
  return `<h4>Nearest latent in each other SAE</h4><table class="plain"><thead><tr><th scope="col">SAE</th><th scope="col">latent</th>
    <th scope="col">cosine</th></tr></thead><tbody>${rows.join("")}</tbody></table>`;
}

function contexts(c, i) {
  const texts = c.contexts?.[i].map(([before, token, after]) => `<li>${shown(before)}<mark>${shown(token)}</mark>${shown(after)}</li>`);
  return texts?.length ? `<h4>Where it fires most</h4><ul>${texts.join("")}</ul>` : "";
}

async function view(sae, latent) {
  const c = await latents(sae), i = c.latent.indexOf(latent), one = $("one");
  one.hidden = false;
  if (i < 0) {
    one.innerHTML = `<h3>No latent ${latent}</h3><p>${shown(about.saes[sae])} has the latents 0 to ${c.latent.at(-1)}.</p>`;
  } else {
    const p = c.p_hat[i] === null ? "" : `${form(c.p_hat[i], 2)} (${form(c.p_hat_low[i], 2)} to ${form(c.p_hat_high[i], 2)})`;
    const facts = [
      ["p_hat", p], ["dimensions in which it may turn", form(c.rank[i], 1)], ["dimensions in which counterparts deviate", form(c.deviation[i], 1)], ["firing rate", rate(c.rate[i])],
      ["share of energy", rate(c.energy[i])],
      ["identity", c.identity[i] < 0 ? "" : `<a href="#identity-${c.identity[i]}">${c.identity[i]}</a>`],
      ["doubles latent", c.doubles[i] < 0 ? "" : link(sae, c.doubles[i])],
      ["subspace", c.subspace[i] < 0 ? "" : `<a href="#subspace-${c.subspace[i]}">${c.subspace[i]}</a>`],
    ].filter(([, value]) => value !== "");
    one.innerHTML = `<h3>Latent ${latent} of ${shown(about.saes[sae])}: ${about.verdicts[c.verdict[i]]}</h3><p>${shown(c.why[i])}</p>
      <dl>${facts.map(([name, value]) => `<dt>${name}</dt><dd>${value}</dd>`).join("")}</dl>${counterparts(c, i, sae)}${contexts(c, i)}`;
  }
  one.focus({ preventScroll: true });
  one.scrollIntoView({ block: "start" });
}

async function follow() {
  const [kind, sae, latent] = location.hash.slice(1).split("/");
  const subspace = location.hash.startsWith("#subspace-") && document.querySelector(location.hash);
  if (subspace) subspace.open = true;
  if (kind === "latent" && about.saes[sae] !== undefined) {
    await show(Number(sae));
    await view(Number(sae), Number(latent));
  }
}

$("sae").addEventListener("change", () => show(Number($("sae").value)));
$("verdict").addEventListener("change", filter);
$("choose").addEventListener("submit", (event) => {
  event.preventDefault();
  const address = `#latent/${$("sae").value}/${$("number").value || 0}`;
  if (location.hash === address) follow(); else location.hash = address;
});
addEventListener("hashchange", follow);
await show(0);
await follow();
document.documentElement.dataset.ready = "true";
