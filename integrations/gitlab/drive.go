package gitlab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/integrations/calls"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// followEvery is how soon a pipeline that runs is looked at again.
const followEvery = 10 * time.Second

// Deployer returns what delivers modules by pipelines of their projects, "gitlab" by its usual name.
//
// An attempt is one new pipeline, or one play of a manual job. The parameters of a delivery, in
// which {version} {from} {commit} {environment} {target} {module} {run} {artifact} {share} stand for what the
// order says:
//
//	ref          what the pipeline runs for. Not given: the version's tag, or the branch that
//	             it was built from as long as that stands at the version's commit
//	inputs.NAME  an input of the pipeline; a variable of that name before GitLab 17.10, which
//	             knows no inputs. Where the pipeline wants a number or boolean it gets one
//	vars.NAME    a variable of the pipeline
//	job          the manual job to play in the pipeline of the version's commit, instead of a
//	             new pipeline; inputs and variables become variables of the job
//	environment  the environment in GitLab; not given: Muster's, or environment/target
//	remove-job   without it nothing can be taken away; with it, StepRemove runs the pipeline with
//	             the input action=stop, and fails unless that job is in it
//
// A canary and its promotion get the input SHARE, in percent. Each pipeline carries the order's key as
// its variable MUSTER_KEY; where the project lets nobody set variables, as its input of that name if
// it has one, which has to be part of workflow:name then, for inputs cannot be read. By that it
// is found when the answer to its creation was lost.
//
// What is live is read from the deployments of the environment, so the pipeline needs a job with
// environment:name.
func (g *GitLab) Deployer() steps.Deployer { return driver{g} }

// Jobs returns what runs migrations, tests and publications, as Deployer's pipelines and with
// the same parameters, environment and remove-job apart.
func (g *GitLab) Jobs() steps.Runner { return driver{g} }

type driver struct{ g *GitLab }

// outgoing is what the half of GitLab that acts remembers. It is a memory only: whatever is not
// in it is asked for again.
type outgoing struct {
	histories recent[playbooks.Changes]
	claims    recent[string] // whose a pipeline is: the order's key, by project and ID

	mu      sync.Mutex
	ways    map[string]way // by project
	user    *gl.User
	release release // of the server
	asked   time.Time
}

// begun is what an order's Status holds once its pipeline is known.
type begun struct {
	Project  string `json:"project"`
	Pipeline int64  `json:"pipeline"`
	Job      int64  `json:"job,omitempty"` // that was played
	// Astray is the commit that the pipeline runs for where that is not the version's: it is canceled.
	Astray string `json:"astray,omitempty"`
}

func handle(o steps.Order) (b begun, known bool) {
	if len(o.Status) == 0 || json.Unmarshal(o.Status, &b) != nil {
		return begun{}, false
	}
	return b, b.Project != "" && b.Pipeline != 0
}

func (b begun) status() json.RawMessage {
	data, err := json.Marshal(b)
	if err != nil {
		return nil // of numbers and a string it cannot fail
	}
	return data
}

// Start implements steps.Runner.
func (d driver) Start(ctx context.Context, o steps.Order) (steps.Report, error) {
	w, err := d.work(ctx, o)
	if err != nil {
		return steps.Report{}, unsent(err)
	}
	if w.job != "" {
		return d.play(ctx, w)
	}
	return d.create(ctx, w)
}

// unsent is for errors of calls that only asked, before anything was sent that has an effect: whatever
// became of them, the order was not begun and may be given anew.
func unsent(err error) error {
	var turn interface{ RetryAfter() time.Duration }
	if err == nil || isPermanent(err) || errors.As(err, &turn) {
		return err
	}
	return &calls.Later{Text: "nothing was begun", Wait: connectWait, Err: err}
}

// Look implements steps.Runner.
func (d driver) Look(ctx context.Context, o steps.Order) (steps.Report, error) {
	if b, known := handle(o); known {
		return d.follow(ctx, o, b)
	}
	w, err := d.work(ctx, o)
	if err != nil {
		return steps.Report{}, unlookable(err)
	}
	var b begun
	var found bool
	if w.job != "" {
		b, found, err = d.findPlayed(ctx, w)
	} else {
		b, found, err = d.find(ctx, w)
	}
	if err != nil {
		return steps.Report{}, err
	}
	if found {
		return d.follow(ctx, o, b)
	}
	// Nothing of this order is there. It stays so only once nothing that was sent for it can be
	// under way any more: see settledAfter.
	if wait, yes := settled(o); !yes {
		return steps.Report{Phase: steps.Running, Message: "it is not known yet whether GitLab began it", CheckAfter: min(wait, 15*time.Second)}, nil
	}
	return steps.Report{Phase: steps.Absent, Message: fmt.Sprintf("%s has no pipeline of this attempt", w.project)}, nil
}

// unlookable turns a refusal, after which the engine would take the order for failed, into what it
// is for a look: whether it was begun cannot be told.
func unlookable(err error) error {
	if isPermanent(err) {
		return fmt.Errorf("%w: %s", steps.ErrCannotLook, strings.TrimPrefix(err.Error(), "gitlab: "))
	}
	return err
}

// follow says how the pipeline or job of an order stands.
func (d driver) follow(ctx context.Context, o steps.Order, b begun) (steps.Report, error) {
	if b.Job != 0 {
		return d.followJob(ctx, b)
	}
	p, err := d.g.readPipeline(ctx, b.Project, b.Pipeline)
	if isGone(err) {
		return steps.Report{}, fmt.Errorf("%w: pipeline %d of %s is not there any more", steps.ErrCannotLook, b.Pipeline, b.Project)
	}
	if err != nil {
		return steps.Report{}, unlookable(err)
	}
	s, err := d.g.stand(ctx, b.Project, p)
	if err != nil {
		return steps.Report{}, unlookable(err)
	}
	r := s.report(p.ID, p.WebURL)
	r.Status, r.CheckAfter = b.status(), followEvery
	if b.Astray != "" {
		return d.astray(ctx, b, p, r)
	}
	switch {
	case r.Phase == steps.Failed && s.status == statusFailed:
		r.Evidence = append(r.Evidence, d.g.failures(ctx, b.Project, p.ID)...)
	case r.Phase == steps.Succeeded && o.Action == playbooks.StepRemove:
		return d.removed(ctx, o, b, r)
	}
	return r, nil
}

// astray ends a pipeline that delivers another commit than the version's, because its branch moved on in
// the moment it was started. It counts as failed, whatever became of it.
func (d driver) astray(ctx context.Context, b begun, p *gl.Pipeline, r steps.Report) (steps.Report, error) {
	r.Message = fmt.Sprintf("%s moved on to %s, so pipeline %d is canceled", p.Ref, short(b.Astray), p.ID)
	if !ended(p.Status) {
		r.Phase = steps.Running
		if p.Status != statusCanceling {
			// Repeating it does no harm: what was canceled stays so.
			if err := d.g.cancel(ctx, b.Project, p.ID); err != nil {
				return steps.Report{}, unlookable(err)
			}
		}
		return r, nil
	}
	r.Phase = steps.Failed
	if p.Status != statusCanceled {
		r.Message = fmt.Sprintf("%s moved on to %s, and pipeline %d delivered that: it ended as %s", p.Ref, short(b.Astray), p.ID, p.Status)
	}
	return r, nil
}

// removed makes sure that the pipeline that was to take a module away knew what was asked of it.
func (d driver) removed(ctx context.Context, o steps.Order, b begun, r steps.Report) (steps.Report, error) {
	name := o.Params["remove-job"]
	jobs, err := d.g.jobsOf(ctx, b.Project, b.Pipeline)
	if err != nil {
		return steps.Report{}, unlookable(err)
	}
	for _, j := range jobs {
		if j.Name == name && j.Status == statusSuccess {
			return r, nil
		}
	}
	r.Phase, r.Message = steps.Failed, fmt.Sprintf("pipeline %d passed, but job %s did not run in it", b.Pipeline, name)
	return r, nil
}

// Stop implements steps.Runner. Look then tells how the pipeline ended.
func (d driver) Stop(ctx context.Context, o steps.Order) error {
	b, known := handle(o)
	if !known {
		w, err := d.work(ctx, o)
		if err != nil {
			return unlookable(err)
		}
		if w.job != "" {
			b, known, err = d.findPlayed(ctx, w)
		} else {
			b, known, err = d.find(ctx, w)
		}
		if err != nil || !known {
			return err
		}
	}
	if b.Job != 0 {
		_, err := ask(ctx, d.g, fmt.Sprintf("cancel job %d of %q", b.Job, b.Project), func(with ...gl.RequestOptionFunc) (*gl.Job, *gl.Response, error) {
			return d.g.api.Jobs.CancelJob(b.Project, b.Job, with...)
		})
		return err
	}
	return d.g.cancel(ctx, b.Project, b.Pipeline)
}

func (g *GitLab) cancel(ctx context.Context, project string, pipeline int64) error {
	_, err := ask(ctx, g, fmt.Sprintf("cancel pipeline %d of %q", pipeline, project), func(with ...gl.RequestOptionFunc) (*gl.Pipeline, *gl.Response, error) {
		return g.api.Pipelines.CancelPipelineBuild(project, pipeline, with...)
	})
	return err
}

func (g *GitLab) jobsOf(ctx context.Context, project string, pipeline int64) ([]*gl.Job, error) {
	jobs, _, err := pages(ctx, g, mostParts, fmt.Sprintf("list jobs of pipeline %d of %q", pipeline, project), func(page gl.ListOptions, with ...gl.RequestOptionFunc) ([]*gl.Job, *gl.Response, error) {
		return g.api.Jobs.ListPipelineJobs(project, pipeline, &gl.ListJobsOptions{ListOptions: page}, with...)
	})
	return jobs, err
}

// me is the account that the token is for.
func (g *GitLab) me(ctx context.Context) (*gl.User, error) {
	g.out.mu.Lock()
	user := g.out.user
	g.out.mu.Unlock()
	if user != nil {
		return user, nil
	}
	user, err := ask(ctx, g, "read whose token it is", func(with ...gl.RequestOptionFunc) (*gl.User, *gl.Response, error) {
		return g.api.Users.CurrentUser(with...)
	})
	if err != nil {
		return nil, err
	}
	g.out.mu.Lock()
	defer g.out.mu.Unlock()
	g.out.user = user
	return user, nil
}
