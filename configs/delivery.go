package configs

import (
	"maps"
	"strings"

	"github.com/muster-release/muster/playbooks"
)

// patch sets what the configuration says on a delivery. Patches are laid over
// each other, so what one of them does not say stays as it was. Parameters are
// laid over key by key, everything else is replaced.
type patch []func(*playbooks.Delivery)

func (p patch) apply(to *playbooks.Delivery) {
	for _, set := range p {
		set(to)
	}
}

// deliveries is what stands under `deploy` or `defaults`: something for every
// environment, and something more for single ones.
type deliveries struct {
	all patch
	in  map[string]patch
}

// combine lays what a module says over what the defaults say; of both, what is
// said for an environment lies over what is said for all. The entry "" is for
// every environment of which nothing special is said.
func combine(defaults, own deliveries) map[string]playbooks.Delivery {
	combined := make(map[string]playbooks.Delivery)
	lay := func(environment string, patches ...patch) {
		var delivery playbooks.Delivery
		for _, p := range patches {
			p.apply(&delivery)
		}
		combined[environment] = delivery
	}
	lay("", defaults.all, own.all)
	for _, in := range []map[string]patch{defaults.in, own.in} {
		for environment := range in {
			lay(environment, defaults.all, defaults.in[environment], own.all, own.in[environment])
		}
	}
	return combined
}

func (d *decoder) defaultsSection(n *node) {
	d.defaults = d.deliveries(n, "a module")
	d.standard = combine(d.defaults, deliveries{})
}

func (d *decoder) deliveries(n *node, subject string) deliveries {
	out := deliveries{in: make(map[string]patch)}
	var in *node
	targets := targetsAt{subject: subject, elsewhere: make(map[string]bool)}
	out.all = d.delivery(n, &targets.names, field{key: "in", decode: func(n *node) { in = n }})
	if in != nil && in.kind != mapping {
		d.want(in, "the names of environments with keys and values")
	}
	if in != nil {
		for _, p := range in.pairs {
			d.refs = append(d.refs, ref{p.at, p.key, anEnvironment, subject + " is deployed to"})
			special := targetsAt{subject: subject, environment: p.key}
			out.in[p.key] = d.delivery(p.value, &special.names)
			if len(special.names) > 0 {
				targets.elsewhere[p.key] = true
				d.targets = append(d.targets, special)
			}
		}
	}
	if len(targets.names) > 0 {
		d.targets = append(d.targets, targets)
	}
	return out
}

// delivery reads a delivery's own keys, and more that stand beside them.
func (d *decoder) delivery(n *node, targets *[]*node, more ...field) patch {
	var p patch
	set := func(f func(*playbooks.Delivery)) { p = append(p, f) }
	d.object(n, "a delivery", append([]field{
		{key: "deployer", decode: func(n *node) {
			value := d.text(n)
			if value == gitlabSystem || value == registrySystem {
				d.wish(n, value, "it is deployed by "+value)
			}
			set(func(to *playbooks.Delivery) { to.Deployer = value })
		}},
		{key: "params", decode: func(n *node) {
			values := d.params(n)
			set(func(to *playbooks.Delivery) {
				merged := maps.Clone(to.Params)
				if merged == nil {
					merged = make(map[string]string, len(values))
				}
				maps.Copy(merged, values)
				to.Params = merged
			})
		}},
		{key: "targets", decode: func(n *node) {
			*targets = d.unique(d.list(n))
			if n.kind == list && len(n.items) == 0 {
				d.report(n.at, "", `"targets" is empty, which would mean all of them: leave it out if that is meant`)
			}
			values := make([]string, 0, len(*targets))
			for _, item := range *targets {
				values = append(values, d.text(item))
			}
			set(func(to *playbooks.Delivery) { to.Targets = values })
		}},
		{key: "artifact", decode: func(n *node) {
			value := d.text(n)
			d.placeholders(n, value, []string{"{version}", "{commit}", "{digest}"})
			set(func(to *playbooks.Delivery) { to.Artifact = value })
		}},
		{key: "strategy", decode: func(n *node) {
			value := d.strategy(n)
			set(func(to *playbooks.Delivery) { to.Strategy = value })
		}},
		{key: "gates", decode: func(n *node) {
			var values []playbooks.Gate
			for _, item := range d.list(n) {
				values = append(values, d.gate(item))
			}
			set(func(to *playbooks.Delivery) { to.Gates = values })
		}},
		{key: "migration", decode: func(n *node) {
			value := d.job(n, "a migration")
			set(func(to *playbooks.Delivery) { to.Migration = &value })
		}},
		{key: "tests", decode: func(n *node) {
			values := d.tests(n)
			set(func(to *playbooks.Delivery) { to.Tests = values })
		}},
		{key: "publish", decode: func(n *node) {
			value := d.job(n, "a publication")
			set(func(to *playbooks.Delivery) { to.Publish = &value })
		}},
		{key: "tag", decode: func(n *node) {
			value := d.flag(n)
			if value {
				d.wish(n, gitlabSystem, "the forge is to tag what is deployed")
			}
			set(func(to *playbooks.Delivery) { to.Tag = value })
		}},
		{key: "timeout", decode: func(n *node) {
			value := d.duration(n)
			set(func(to *playbooks.Delivery) { to.Timeout = value })
		}},
		{key: "estimate", decode: func(n *node) {
			value, _ := d.span(n)
			set(func(to *playbooks.Delivery) { to.Estimate = value })
		}},
		{key: "retries", decode: func(n *node) {
			value := d.integer(n, 0, 100)
			set(func(to *playbooks.Delivery) { to.Retries = value })
		}},
	}, more...)...)
	return p
}

func (d *decoder) strategy(n *node) playbooks.Strategy {
	if n.kind == mapping {
		strategy := playbooks.Strategy{Kind: playbooks.Canary}
		d.object(n, "a strategy", field{key: "canary", decode: func(n *node) { strategy.Stages = d.stages(n) }})
		if len(n.pairs) == 0 {
			d.require(n, "a strategy", "canary")
		}
		return strategy
	}
	kind := choice(d, n, "strategy", playbooks.Rolling, playbooks.Recreate, playbooks.Canary)
	if kind == playbooks.Canary {
		d.report(n.at, "write strategy: {canary: [{share: 10, bake: 5m}]}", "a canary strategy needs stages")
	}
	return playbooks.Strategy{Kind: kind}
}

func (d *decoder) stages(n *node) []playbooks.CanaryStage {
	var stages []playbooks.CanaryStage
	before := 0
	for _, item := range d.list(n) {
		var stage playbooks.CanaryStage
		ok := d.object(item, "a canary stage",
			field{key: "share", decode: func(n *node) {
				if n.kind == text && strings.HasSuffix(n.text, "%") {
					d.report(n.at, "leave the % out", "%q wants a whole number", n.name)
					return
				}
				known := len(d.found)
				stage.Share = d.integer(n, 1, 99)
				switch {
				case len(d.found) > known:
				case stage.Share <= before:
					d.report(n.at, "", "canary shares must rise: %d comes after %d", stage.Share, before)
				default:
					before = stage.Share
				}
			}},
			field{key: "bake", decode: func(n *node) { stage.Bake, _ = d.span(n) }},
		)
		if ok {
			d.require(item, "a canary stage", "share", "bake")
			stages = append(stages, stage)
		}
	}
	if n.kind == list && len(n.items) == 0 {
		d.report(n.at, "", "a canary strategy needs at least one stage")
	}
	return stages
}

func (d *decoder) tests(n *node) []playbooks.Job {
	var jobs []playbooks.Job
	seen := make(map[string]bool)
	for _, item := range d.list(n) {
		job := d.job(item, "a test")
		d.require(item, "a test", "name")
		if job.Name != "" && seen[job.Name] {
			d.report(item.at, "", "two tests are called %q", job.Name)
		}
		seen[job.Name] = true
		jobs = append(jobs, job)
	}
	return jobs
}

// job reads work around a deployment. What runs it is one of its parameters.
func (d *decoder) job(n *node, what string) playbooks.Job {
	var job playbooks.Job
	var with *node
	d.object(n, what,
		field{key: "name", decode: func(n *node) { job.Name = d.name(n, "the name of "+what, forPlaces) }},
		field{key: playbooks.ParamWith, decode: func(n *node) { with = n }},
		field{key: "params", decode: func(n *node) {
			job.Params = d.params(n)
			for _, p := range n.pairs {
				if p.key == playbooks.ParamJob {
					d.report(p.at, "give it as name", "%q of %s is its name", p.key, what)
				}
			}
		}},
		field{key: "timeout", decode: func(n *node) { job.Timeout = d.duration(n) }},
		field{key: "reversible", decode: func(n *node) { job.Irreversible = !d.flag(n) }},
	)
	if with == nil {
		return job
	}
	runner := d.name(with, "what "+what+" is run with", forPlaces)
	if _, twice := job.Params[playbooks.ParamWith]; twice {
		d.report(with.at, "", "%q is among the params, too", playbooks.ParamWith)
	}
	if runner == gitlabSystem || runner == registrySystem {
		d.wish(with, runner, what+" is run by "+runner)
	}
	if runner != "" {
		if job.Params == nil {
			job.Params = make(map[string]string, 1)
		}
		job.Params[playbooks.ParamWith] = runner
	}
	return job
}

// pipelineValues are what the inputs and variables of a pipeline may ask for.
var pipelineValues = []string{"{version}", "{commit}", "{environment}", "{target}", "{module}", "{run}", "{artifact}", "{from}", "{share}"}

// params reads parameters, which mean something to a deployer alone; but those of
// GitLab's pipelines are known.
func (d *decoder) params(n *node) map[string]string {
	values := d.table(n)
	for _, p := range n.pairs {
		if strings.HasPrefix(p.key, "inputs.") || strings.HasPrefix(p.key, "vars.") {
			d.placeholders(p.value, p.value.text, pipelineValues)
		}
	}
	return values
}
