package registry

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

const (
	// sendWithin is how long after an order was written down something is sent for it. What
	// would have to be sent later is refused, and comes as another attempt.
	sendWithin = 30 * time.Second
	// settledAfter is how long after an order was written down nothing of it is under way any
	// more: it was sent within sendWithin, and a request that Muster gave up waiting for may be on its way
	// through proxies, which wait for a minute as a rule, and in the registry for another one.
	settledAfter = sendWithin + 2*time.Minute
	// lookEvery is how often a tag is looked at that was not yet as it should be.
	lookEvery = 15 * time.Second
)

// work is an order, read.
type work struct {
	steps.Order
	repo    name.Repository
	channel name.Tag
}

// read says what an order is about, or why a registry cannot do it.
func (r *Registry) read(o steps.Order) (work, error) {
	switch o.Action {
	case playbooks.StepDeploy, playbooks.StepPromote, playbooks.StepRollback, playbooks.StepRemove, playbooks.StepPublish:
	case playbooks.StepCanary:
		return work{}, refuse("%s: an image tag has no share, so there are no canaries; take the strategy out of the module's delivery", o.Step)
	default:
		return work{}, refuse("%s: a registry moves tags and does nothing else, so it cannot carry out a step of kind %q", o.Step, o.Action)
	}
	image := o.Params[paramImage]
	if m := r.o.Catalog().Module(o.Place.Module); image == "" && m != nil {
		image = m.In(o.Place.Environment).Params[paramImage] // a job beside the deployment of the same image
	}
	repo, err := repository(image)
	if err != nil {
		return work{}, err
	}
	channel, err := channelOf(repo, o.Params, o.Place)
	return work{o, repo, channel}, err
}

// wanted is the digest that the channel's tag is to be at: the one of the plan, or else that of the tag
// that the version's build has. A version that is a digest, because nobody knew a better name, is itself.
func (r *Registry) wanted(ctx context.Context, w work) (string, error) {
	given := cmp.Or(w.Params[playbooks.ParamDigest], w.Version)
	switch {
	case isDigest(given):
		return given, nil
	case w.Params[playbooks.ParamDigest] != "":
		return "", refuse("%s: %q is no digest", w.Step, given)
	case w.Version == "":
		return "", refuse("%s: the order names no version", w.Step)
	}
	from, err := builtTag(w.repo, w.Params, w.Place, w.Version)
	if err != nil {
		return "", err
	}
	return r.digest(ctx, from)
}

// now is the digest that the channel's tag is at, empty if there is no such tag.
func (r *Registry) now(ctx context.Context, w work) (string, error) {
	is, err := r.digest(ctx, w.channel)
	if isGone(err) {
		return "", nil
	}
	return is, err
}

// Start implements steps.Runner: it moves the channel's tag, unless it is there already. Nothing is
// read or written but manifests, and what is put is the manifest that is there.
func (r *Registry) Start(ctx context.Context, o steps.Order) (steps.Report, error) {
	w, err := r.read(o)
	if err != nil {
		return steps.Report{}, err
	}
	is, err := r.now(ctx, w)
	if err != nil {
		return steps.Report{}, untouched(err)
	}
	if o.Action == playbooks.StepRemove {
		return r.startRemove(ctx, w, is)
	}
	want, err := r.wanted(ctx, w)
	if err != nil {
		return steps.Report{}, untouched(err)
	}
	if is == want {
		return r.done(w, want), nil
	}
	manifest, err := r.manifest(ctx, w.repo.Digest(want))
	if err != nil {
		return steps.Report{}, untouched(err)
	}
	if err := inTime(o); err != nil {
		return steps.Report{}, err
	}
	if err := r.put(ctx, w.channel, manifest); err != nil {
		return steps.Report{}, err
	}
	r.log.Info("a tag was moved", "run", o.Run, "step", o.Step, "module", o.Place.Module, "tag", w.channel.String(), "from", is, "to", want)
	return r.compare(ctx, w, want)
}

// inTime refuses what comes too late to be sent; see settledAfter. Nothing was sent.
func inTime(o steps.Order) error {
	if !o.StartedAt.IsZero() && time.Since(o.StartedAt) > sendWithin {
		return &later{text: fmt.Sprintf("registry: start %s: it was to begin %v ago, which is too long to be sure of it", o.Step, time.Since(o.StartedAt).Round(time.Second)), wait: time.Second}
	}
	return nil
}

// compare looks whether what was changed shows.
func (r *Registry) compare(ctx context.Context, w work, want string) (steps.Report, error) {
	is, err := r.now(ctx, w)
	switch {
	case err != nil:
		return steps.Report{}, touched(err)
	case is == want:
		return r.done(w, want), nil
	}
	return steps.Report{Phase: steps.Running, Message: fmt.Sprintf("%s is %s still", w.channel.TagStr(), orNothing(is)), CheckAfter: 2 * time.Second}, nil
}

func (r *Registry) startRemove(ctx context.Context, w work, is string) (steps.Report, error) {
	if is == "" {
		return r.done(w, ""), nil
	}
	if err := inTime(w.Order); err != nil {
		return steps.Report{}, err
	}
	err := r.remove(ctx, w.channel)
	switch {
	case isGone(err): // somebody else was faster, or the registry has no such call
		report, err := r.compare(ctx, w, "")
		if err == nil && report.Phase != steps.Succeeded {
			return steps.Report{}, cannotDelete(w)
		}
		return report, untouched(err)
	case isPermanent(err):
		return steps.Report{}, &failure{text: fmt.Sprintf("%v; %v", err, cannotDelete(w)), permanent: true}
	case err != nil:
		return steps.Report{}, err
	}
	r.log.Info("a tag was deleted", "run", w.Run, "step", w.Step, "module", w.Place.Module, "tag", w.channel.String(), "was", is)
	return r.compare(ctx, w, "")
}

func cannotDelete(w work) *failure {
	return refuse("the registry does not let Muster delete the tag %q: delete it by hand, and then retry", w.channel)
}

// Look implements steps.Runner: the tag says what became of an order.
func (r *Registry) Look(ctx context.Context, o steps.Order) (steps.Report, error) {
	w, err := r.read(o)
	if err != nil {
		return steps.Report{}, err
	}
	want := ""
	if o.Action != playbooks.StepRemove {
		want, err = r.wanted(ctx, w)
		if isGone(err) {
			return steps.Report{Phase: steps.Failed, Message: strings.TrimPrefix(err.Error(), "registry: ")}, nil
		}
		if err != nil {
			return steps.Report{}, err
		}
	}
	is, err := r.now(ctx, w)
	if err != nil {
		return steps.Report{}, err
	}
	if is == want {
		return r.done(w, want), nil
	}
	message := fmt.Sprintf("%s is %s, not %s", w.channel.TagStr(), orNothing(is), orNothing(want))
	if wait := time.Until(o.StartedAt.Add(settledAfter)); wait > 0 {
		return steps.Report{Phase: steps.Running, Message: message, CheckAfter: min(wait, lookEvery)}, nil
	}
	return steps.Report{Phase: steps.Absent, Message: message}, nil
}

// Stop implements steps.Runner. A tag is moved in one call, so there is nothing to stop.
func (r *Registry) Stop(context.Context, steps.Order) error { return nil }

// done is the report of an order whose tag is as it should be.
func (r *Registry) done(w work, digest string) steps.Report {
	if digest == "" {
		r.forget(w.channel)
		return steps.Report{Phase: steps.Succeeded, Message: fmt.Sprintf("there is no tag %s", w.channel.TagStr())}
	}
	if !isDigest(w.Version) {
		r.named(w.channel, digest, w.Version)
	}
	return steps.Report{
		Phase: steps.Succeeded, Message: fmt.Sprintf("%s is %s, %s", w.channel.TagStr(), w.Version, short(digest)),
		Evidence: []playbooks.Evidence{{Name: "image", Text: w.channel.String() + " is " + digest}},
	}
}

func orNothing(digest string) string { return cmp.Or(short(digest), "nothing") }
