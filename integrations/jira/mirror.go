package jira

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/muster-release/muster/integrations/calls"
	"github.com/muster-release/muster/playbooks/steps"
)

// propertyKey names the issue property in which Muster keeps what it has to know of an issue.
const propertyKey = "muster"

// kept is that property. Members may be added; who does not know one leaves it out.
type kept struct {
	Run string `json:"run,omitempty"`
	// Wrote is what Muster wrote last, by ID of the field: the value, or its digest if it is long.
	// It is kept where edits are respected.
	Wrote   map[string]json.RawMessage `json:"wrote,omitempty"`
	Left    []string                   `json:"left,omitempty"`    // fields that somebody changed, which is said in a comment
	Labels  []string                   `json:"labels,omitempty"`  // those that Muster put on
	Version string                     `json:"version,omitempty"` // ID of the fix version, which Muster put on
	Move    keptMove                   `json:"move,omitzero"`
	Stories []string                   `json:"stories,omitempty"` // those that were put into the version
	Linked  []string                   `json:"linked,omitempty"`  // those that were linked
}

// keptMove is the last transition that was tried.
type keptMove struct {
	For  string `json:"for"` // the status of the release
	From string `json:"from"`
	To   string `json:"to"`
	Hop  int    `json:"hop,omitempty"` // which of several
}

// wrote remembers a value, if edits are respected.
func (k *kept) wrote(j *Jira, w wish) {
	if j.o.Edits != EditsRespect {
		return
	}
	if k.Wrote == nil {
		k.Wrote = map[string]json.RawMessage{}
	}
	k.Wrote[w.field.ID] = digested(w.value)
}

const digestMark = "sha256:"

// digested is a value in short: a long text is its digest.
func digested(value any) json.RawMessage {
	data, _ := json.Marshal(value) // text and numbers: it cannot fail
	_, long := value.(node)
	if text, is := value.(string); is && len(text) > 100 {
		long = true
	}
	if long {
		data, _ = json.Marshal(digestMark + sum(data))
	}
	return data
}

func sum(raw json.RawMessage) string {
	d := sha256.Sum256([]byte(meaningOf(raw)))
	return hex.EncodeToString(d[:16])
}

// unchanged reports whether a field is still as Muster wrote it.
func unchanged(current, wrote json.RawMessage) bool {
	var text string
	if json.Unmarshal(wrote, &text) == nil {
		if digest, long := strings.CutPrefix(text, digestMark); long {
			return sum(current) == digest
		}
		return says(current, text)
	}
	var value any
	return json.Unmarshal(wrote, &value) == nil && says(current, value)
}

// sight is an issue as it is now, and what is known of it while it is being updated.
type sight struct {
	issue   *issue
	project struct{ ID, Key string }
	made    time.Time
	kept    kept
	stored  []byte // kept, as Jira has it
	version *version
	spent   int  // links and the like that were made
	more    bool // there are more to be made
}

const (
	// linksAtOnce is how many links and stories one Update writes, and linkWait how long it is until the
	// next ones. Jira Cloud limits the writes to one issue, and asks to space them out:
	// https://developer.atlassian.com/cloud/jira/platform/build-an-app-that-respects-rate-limits/.
	linksAtOnce = 15
	linkWait    = 4 * time.Second
)

// spend reports whether one more may be written now.
func (s *sight) spend() bool {
	if s.spent >= linksAtOnce {
		s.more = true
		return false
	}
	s.spent++
	return true
}

// look reads the issue.
func (j *Jira) look(ctx context.Context, key string) (*sight, error) {
	fields := []string{"summary", "description", "labels", "status", "project", "created", "fixVersions", "issuelinks"}
	for _, name := range slices.Sorted(maps.Keys(j.form.fields)) {
		f, err := j.fieldNamed(ctx, name)
		if err != nil && !isPermanent(err) {
			return nil, err
		}
		if err == nil {
			fields = append(fields, f.ID)
		}
	}
	i, err := j.getIssue(ctx, key, fields, propertyKey)
	if err != nil {
		return nil, err
	}
	s := &sight{issue: i, made: i.created()}
	i.read("project", &s.project)
	if raw := i.Properties[propertyKey]; len(raw) > 0 {
		_ = json.Unmarshal(raw, &s.kept) // whoever else wrote there is written over
	}
	s.stored, _ = json.Marshal(s.kept)
	return s, nil
}

// keep writes what is kept in the issue, if it has changed.
func (j *Jira) keep(ctx context.Context, s *sight) error {
	data, _ := json.Marshal(s.kept)
	if bytes.Equal(data, s.stored) {
		return nil
	}
	err := j.put(ctx, "keep notes in "+s.issue.Key, at("issue", s.issue.Key, "properties", propertyKey), nil, json.RawMessage(data))
	if err == nil {
		s.stored = data
	}
	return err
}

// wish is what a field ought to say.
type wish struct {
	field    field
	value    any
	optional bool // the issue is one without it
}

// wishes are the fields that Muster fills in. What cannot be filled in is in problems.
func (j *Jira) wishes(ctx context.Context, i *steps.Issue, made time.Time) (all []wish, lacking problems) {
	summary := []rune(oneLine(i.Title, 4*mostSummary))
	if len(summary) > mostSummary {
		summary = append(summary[:mostSummary-1], '…')
	}
	all = []wish{
		{field: field{ID: "summary", Name: "Summary"}, value: string(summary)},
		{field: field{ID: "description", Name: "Description"}, value: j.body(j.description(i))},
	}
	for _, name := range slices.Sorted(maps.Keys(j.form.fields)) {
		f, err := j.fieldNamed(ctx, name)
		if err != nil {
			lacking.add(err)
			continue
		}
		v, err := j.value(f, j.form.fields[name].fill(i, made))
		if err != nil {
			lacking.add(err)
			continue
		}
		all = append(all, wish{f, v, true})
	}
	return all, lacking
}

// labels are those of the issue. Others that people add stay.
func (j *Jira) labels(i *steps.Issue, made time.Time) []string {
	labels := []string{j.label(i.Run)}
	for _, t := range j.form.labels {
		if l := calls.Clip(strings.Join(strings.Fields(t.fill(i, made)), "-"), 255); l != "" && !slices.Contains(labels, l) {
			labels = append(labels, l)
		}
	}
	return labels
}

// sparing writes fields, and once more without those that the issue is one without, if Jira
// refuses these by name. What was refused is added to lacking.
func (j *Jira) sparing(wishes []wish, fields map[string]any, lacking *problems, write func() error) error {
	err := write()
	var f *failure
	if !errors.As(err, &f) || f.status != http.StatusBadRequest {
		return err
	}
	spared := false
	for _, w := range wishes {
		if words, wrong := f.fields[w.field.ID]; wrong && w.optional {
			if _, asked := fields[w.field.ID]; asked {
				delete(fields, w.field.ID)
				lacking.add(refuse("field %q: %s", w.field.Name, calls.Clip(words, mostWords)))
				spared = true
			}
		}
	}
	if !spared {
		return err
	}
	return write()
}

// mirror makes the issue say what it ought to, with one request, or none if it does.
func (j *Jira) mirror(ctx context.Context, s *sight, i *steps.Issue) error {
	wishes, lacking := j.wishes(ctx, i, s.made)
	if err := lacking.passing(); err != nil {
		return err
	}
	fields, update := map[string]any{}, map[string]any{}
	s.kept.Run = i.Run
	var left []wish
	for _, w := range wishes {
		current := s.issue.Fields[w.field.ID]
		same := says(current, w.value)
		wrote, known := s.kept.Wrote[w.field.ID]
		empty := len(current) == 0 || string(current) == "null"
		if !same && !empty && j.o.Edits == EditsRespect && known && !unchanged(current, wrote) {
			left = append(left, w)
			continue
		}
		if !same {
			fields[w.field.ID] = w.value
		}
		s.kept.wrote(j, w)
		s.kept.Left = slices.DeleteFunc(s.kept.Left, func(id string) bool { return id == w.field.ID })
	}
	respected := j.o.Edits == EditsRespect
	var labels []string
	s.issue.read("labels", &labels)
	wanted := j.labels(i, s.made)
	var ops []any
	for _, l := range wanted {
		if !slices.Contains(labels, l) && !(respected && l != j.label(i.Run) && slices.Contains(s.kept.Labels, l)) {
			ops = append(ops, map[string]any{"add": l})
		}
	}
	for _, l := range s.kept.Labels {
		if slices.Contains(labels, l) && !slices.Contains(wanted, l) {
			ops = append(ops, map[string]any{"remove": l})
		}
	}
	if s.kept.Labels = wanted; ops != nil {
		update["labels"] = ops
	}
	if v := s.version; v != nil {
		if !s.issue.inVersion(v.ID) && !(respected && s.kept.Version == v.ID) {
			update["fixVersions"] = []any{map[string]any{"add": map[string]any{"id": v.ID}}}
		}
		s.kept.Version = v.ID
	}
	if err := j.edit(ctx, s, wishes, fields, update, &lacking); err != nil {
		return lacking.with(err)
	}
	if err := j.tellLeft(ctx, s, i, left); err != nil {
		return lacking.with(err)
	}
	return lacking.with(j.keep(ctx, s))
}

// edit writes fields. What is kept goes along, so that both are written or neither.
func (j *Jira) edit(ctx context.Context, s *sight, wishes []wish, fields, update map[string]any, lacking *problems) error {
	if len(fields)+len(update) == 0 {
		return nil
	}
	data, _ := json.Marshal(s.kept)
	err := j.sparing(wishes, fields, lacking, func() error {
		if len(fields)+len(update) == 0 {
			return j.keep(ctx, s)
		}
		body := map[string]any{"properties": []any{map[string]any{"key": propertyKey, "value": json.RawMessage(data)}}}
		if len(fields) > 0 {
			body["fields"] = fields
		}
		if len(update) > 0 {
			body["update"] = update
		}
		return j.put(ctx, "update "+s.issue.Key, at("issue", s.issue.Key), nil, body)
	})
	if err == nil {
		s.stored = data
	}
	return err
}

// tellLeft says in a comment, once for each field, that somebody's change is left.
func (j *Jira) tellLeft(ctx context.Context, s *sight, i *steps.Issue, left []wish) error {
	for _, w := range left {
		if slices.Contains(s.kept.Left, w.field.ID) {
			continue
		}
		text := fmt.Sprintf("Somebody changed the field %q of this issue. It stays as it is, and Muster does not keep it up to date any more until it is empty.", w.field.Name)
		if err := j.commentOnce(ctx, s.issue.Key, steps.Comment{Marker: i.Run + "/left/" + w.field.ID, Text: text}); err != nil {
			return err
		}
		s.kept.Left = append(s.kept.Left, w.field.ID)
	}
	return nil
}
