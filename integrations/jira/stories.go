package jira

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

var _ steps.Storyteller = (*Jira)(nil)

// keyForm is a key of an issue, as https://support.atlassian.com/jira-cloud-administration/docs/change-the-project-key-format/
// describes it: letters, digits and underscores, a dash, and a number without zeros before it.
var keyForm = regexp.MustCompile(`[A-Z][A-Z0-9_]{1,30}-[1-9][0-9]{0,9}`)

// addressForm is an address in a text.
var addressForm = regexp.MustCompile(`https?://[^\s<>"']+`)

// StoryKeys implements steps.Storyteller. A key stands between what is neither letter nor digit, in capital
// letters, so that "feature/ABC-7-carts" names ABC-7 and "xABC-7" nothing. Addresses are looked at only where they
// are this Jira's. With Options.StoryProjects only keys of those projects count; without, what looks like a key
// is one ("UTF-8"), until Jira says that it knows none of that name.
func (j *Jira) StoryKeys(text string) []string {
	var keys []string
	text = addressForm.ReplaceAllStringFunc(text, func(link string) string {
		if path, ours := strings.CutPrefix(link, j.o.URL+"/"); ours {
			return "/" + path
		}
		return " "
	})
	for _, at := range keyForm.FindAllStringIndex(text, -1) {
		key := text[at[0]:at[1]]
		project, _ := keyNumber(key)
		switch {
		case at[0] > 0 && inWord(text[at[0]-1]), at[1] < len(text) && inWord(text[at[1]]):
		case len(j.o.StoryProjects) > 0 && !slices.Contains(j.o.StoryProjects, project):
		case !slices.Contains(keys, key):
			keys = append(keys, key)
		}
	}
	return keys
}

// inWord reports whether a byte belongs to a word; of other scripts every byte does.
func inWord(c byte) bool {
	return c == '_' || c >= 0x80 || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// storyFields are what is read of a story.
func storyFields() []string {
	return []string{"summary", "issuetype", "status", "fixVersions", "project"}
}

// Stories implements steps.Storyteller. A story that was moved to another project stands under the key that was
// asked for.
func (j *Jira) Stories(ctx context.Context, keys []string) ([]playbooks.Story, error) {
	found, err := j.issues(ctx, keys)
	if err != nil {
		return nil, err
	}
	all := make([]playbooks.Story, 0, len(keys))
	for _, key := range keys {
		s := playbooks.Story{Key: key}
		if i := found[key]; i != nil {
			s = j.storyOf(i)
			s.Key = key
		}
		all = append(all, s)
	}
	return all, nil
}

func (j *Jira) storyOf(i *issue) playbooks.Story {
	s := playbooks.Story{Key: i.Key, Status: i.status().Name, Link: j.browse(i.Key)}
	var kind struct{ Name string }
	i.read("summary", &s.Title)
	i.read("issuetype", &kind)
	s.Type = kind.Name
	return s
}

// keysAtOnce is how many issues are asked for in one call. 100 is the most that Cloud hands out.
const keysAtOnce = 100

// issues reads issues as stories, by the keys that were asked for; those that Jira does not know, or
// does not show to this account, are missing.
//
// Cloud hands them out by key, from the database and not from the index
// (https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/#api-rest-api-3-issue-bulkfetch-post).
// Data Center has only its search, which is asked not to refuse a query because of keys that there are not; what it
// does not find may be too new for its index, and is read one by one.
func (j *Jira) issues(ctx context.Context, keys []string) (map[string]*issue, error) {
	found := make(map[string]*issue, len(keys))
	var valid []string
	for _, key := range keys {
		if issueKey(key) != "" && !slices.Contains(valid, key) {
			valid = append(valid, key)
		}
	}
	for chunk := range slices.Chunk(valid, keysAtOnce) {
		some, again, err := j.fetch(ctx, chunk)
		if err != nil {
			return nil, err
		}
		for n := range some {
			if i := &some[n]; slices.Contains(chunk, i.Key) {
				found[i.Key] = i
			} else {
				again = true // one that was moved; whose key that was is not said
			}
		}
		if !again {
			continue
		}
		for _, key := range chunk {
			if found[key] != nil {
				continue
			}
			i, err := j.getIssue(ctx, key, storyFields())
			switch {
			case isPermanent(err):
			case err != nil:
				return nil, err
			default:
				found[key] = i
			}
		}
	}
	return found, nil
}

// fresh reads issues again that a search has found, for the index may lag: what it found may not be true any more.
func (j *Jira) fresh(ctx context.Context, found []issue) ([]*issue, error) {
	keys := make([]string, len(found))
	for n := range found {
		keys[n] = found[n].Key
	}
	now, err := j.issues(ctx, keys)
	if err != nil {
		return nil, err
	}
	var all []*issue
	for _, key := range keys {
		if i := now[key]; i != nil {
			all = append(all, i)
		}
	}
	return all, nil
}

// fetch reads some issues at once. Again says that those that are missing are to be asked for one by one.
func (j *Jira) fetch(ctx context.Context, keys []string) (some []issue, again bool, err error) {
	if j.flavor == dataCenter {
		jql := "key in (" + quoteAll(keys) + ")"
		some, err = j.search(ctx, "read the stories", jql, storyFields(), len(keys), map[string]any{"validateQuery": false})
		if isPermanent(err) {
			return nil, true, nil // an older one minds unknown keys all the same
		}
		return some, len(some) < len(keys), err
	}
	var answer struct {
		Issues []issue           `json:"issues"`
		Errors []json.RawMessage `json:"issueErrors"`
	}
	body := map[string]any{"issueIdsOrKeys": keys, "fields": storyFields()}
	err = j.post(ctx, "read the stories", "issue/bulkfetch", body, &answer)
	return answer.Issues, len(answer.Errors) > 0, err
}
