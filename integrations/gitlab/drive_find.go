package gitlab

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/playbooks/steps"
)

// mostCandidates is how many pipelines are looked through for one whose creation was not answered.
const mostCandidates = 300

// find looks for the pipeline that was started for an order, by the key that it carries. It looks at
// all that this account started since, whatever they run for: the version may have been tagged meanwhile.
//
// Pipelines that carry no key are a project's where neither variables nor an input MUSTER_KEY are let
// through. Of these one that fits the order, and that no other order is known to have started, is taken to be
// its own; of several nobody can tell.
func (d driver) find(ctx context.Context, w *work) (begun, bool, error) {
	me, err := d.g.me(ctx)
	if err != nil {
		return begun{}, false, unlookable(err)
	}
	since := w.StartedAt.Add(-skew)
	found, more, err := pages(ctx, d.g, mostCandidates, fmt.Sprintf("list pipelines of %q that were started since", w.project), func(page gl.ListOptions, with ...gl.RequestOptionFunc) ([]*gl.PipelineInfo, *gl.Response, error) {
		o := gl.ListProjectPipelinesOptions{ListOptions: page, Username: gl.Ptr(me.Username), Source: gl.Ptr("api"), UpdatedAfter: gl.Ptr(since), OrderBy: gl.Ptr("id"), Sort: gl.Ptr("asc")}
		return d.g.api.Pipelines.ListProjectPipelines(w.project, &o, with...)
	})
	if err != nil {
		return begun{}, false, unlookable(err)
	}
	found = slices.DeleteFunc(found, func(p *gl.PipelineInfo) bool { return p.CreatedAt == nil || p.CreatedAt.Before(since) })
	slices.SortStableFunc(found, func(a, b *gl.PipelineInfo) int { // the likely ones first
		switch {
		case a.SHA == w.at.commit && b.SHA != w.at.commit:
			return -1
		case a.SHA != w.at.commit && b.SHA == w.at.commit:
			return 1
		}
		return 0
	})
	var unmarked []*gl.PipelineInfo
	for _, p := range found {
		key, err := d.keyOf(ctx, w, p)
		switch {
		case err != nil:
			return begun{}, false, unlookable(err)
		case key == w.Key:
			d.g.out.claims.put(claim(w.project, p.ID), w.Key)
			return begun{Project: w.project, Pipeline: p.ID, Astray: w.astray(p.SHA)}, true, nil
		case key == "" && (p.SHA == w.at.commit || p.Ref == w.ref) && p.CreatedAt.Before(w.StartedAt.Add(settledAfter+skew)):
			unmarked = append(unmarked, p)
		}
	}
	if more {
		return begun{}, false, fmt.Errorf("%w: more than %d pipelines of %s were started since", steps.ErrCannotLook, mostCandidates, w.project)
	}
	y := d.way(w.project)
	if len(unmarked) == 0 || !y.learned.IsZero() && y.marked() {
		return begun{}, false, nil
	}
	if len(unmarked) > 1 {
		var ids []string
		for _, p := range unmarked {
			ids = append(ids, fmt.Sprint(p.ID))
		}
		return begun{}, false, fmt.Errorf("%w: pipelines %s of %s were started since, and none carries a key: give the pipeline an input %s and put it into workflow:name",
			steps.ErrCannotLook, some(ids), w.project, keyName)
	}
	d.g.out.claims.put(claim(w.project, unmarked[0].ID), w.Key)
	return begun{Project: w.project, Pipeline: unmarked[0].ID, Astray: w.astray(unmarked[0].SHA)}, true, nil
}

// keyOf is the key of the order that a pipeline was started for, empty if it carries none.
func (d driver) keyOf(ctx context.Context, w *work, p *gl.PipelineInfo) (string, error) {
	if names(p.Name, w.Key) {
		return w.Key, nil
	}
	if key, known := d.g.out.claims.get(claim(w.project, p.ID)); known {
		return key, nil
	}
	vars, err := ask(ctx, d.g, fmt.Sprintf("read variables of pipeline %d of %q", p.ID, w.project), func(with ...gl.RequestOptionFunc) ([]*gl.PipelineVariable, *gl.Response, error) {
		return d.g.api.Pipelines.GetPipelineVariables(w.project, p.ID, with...)
	})
	if err != nil {
		return "", err
	}
	for _, v := range vars {
		if v.Key == keyName {
			return v.Value, nil
		}
	}
	return "", nil
}

// names reports whether a text has a key in it that is not part of a longer one.
func names(text, key string) bool {
	partOfKey := func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("/-_:@.", r)
	}
	for from := 0; key != ""; from++ {
		i := strings.Index(text[from:], key)
		if i < 0 {
			return false
		}
		from += i
		last, _ := utf8.DecodeLastRuneInString(text[:from])
		first, _ := utf8.DecodeRuneInString(text[from+len(key):])
		if !partOfKey(last) && !partOfKey(first) {
			return true
		}
	}
	return false
}
