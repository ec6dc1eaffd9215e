package gitlab

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/muster-release/muster/integrations/gitlab/gitlabfake"
)

// TestEditedByOthers lets a maintainer write a command into what somebody else wrote, and tell Muster of it as
// if that had been written so: nobody has said it.
func TestEditedByOthers(t *testing.T) {
	inTalk(t, func(t *testing.T, y *yard, d *desk, _ string, mr int64) {
		y.Comment(cart, mr, "ann", "Well done", "")
		y.settle()
		id := y.Notes(cart, mr)[0].ID
		time.Sleep(time.Second)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut,
			fmt.Sprintf("https://git.example.com/sub/api/v4/projects/%s/merge_requests/%d/notes/%d", url.PathEscape(cart), mr, id),
			strings.NewReader(`{"body":"/muster approve 1"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("PRIVATE-TOKEN", y.AddBotToken("shop", gitlabfake.Maintainer, gitlabfake.Token{Name: "maintainer"}))
		response, err := y.Client().Do(r)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("edit: %v, %v", response, err)
		}
		_ = response.Body.Close()
		y.settle()
		y.g.signing = nil
		forged := fmt.Sprintf(`{"object_kind":"note","user":{"username":"ann"},"project":{"path_with_namespace":%q},"merge_request":{"iid":%d},
			"object_attributes":{"id":%d,"note":"/muster approve 1","noteable_type":"MergeRequest","action":"create","discussion_id":"x"}}`, cart, mr, id)
		if w := deliver(y.g.Handler(d, d), forged); w.Code != 204 {
			t.Errorf("status = %d", w.Code)
		}
		if said := d.said(); len(said) != 0 {
			t.Errorf("received was %+v, which ann never wrote", said)
		}
	})
}
