// Command pagerdutyfake runs a fake of PagerDuty alone, with two people who take turns on call. It
// prints how to point Muster at it, and shows its incidents at its address.
package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/muster-release/muster/cmd/internal/alone"
	"github.com/muster-release/muster/cmd/internal/listen"
	"github.com/muster-release/muster/integrations/pagerduty/pagerdutyfake"
)

func main() { alone.Main(run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	flags, address := alone.Flags("pagerdutyfake", "127.0.0.1:8093", "address of the APIs and the page", out)
	token := flags.String("token", "pagerdutyfake-token", "token of the REST API")
	key := flags.String("routing-key", "0123456789abcdef0123456789abcdef", "integration key that events are taken for, of 32 characters")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if len(*key) != 32 {
		return fmt.Errorf("pagerdutyfake: the routing key has %d characters, and PagerDuty's have 32", len(*key))
	}
	l, err := listen.At(ctx, *address)
	if err != nil {
		return fmt.Errorf("pagerdutyfake: %w", err)
	}
	defer l.Close()
	p := pagerdutyfake.New(pagerdutyfake.Options{
		RoutingKeys: []string{*key}, Token: *token,
		EventsLimit: &pagerdutyfake.Limit{Calls: 120, Window: time.Minute}, RESTLimit: &pagerdutyfake.Limit{Calls: 960, Window: time.Minute},
	})
	defer p.Close()
	schedule := seed(p)
	url := "http://" + l.Addr().String()
	fmt.Fprintf(out, "page            %s\nrouting key     %s\ntoken           %s\nschedule        %s\n\n%s", url, *key, *token, schedule.ID, hint(url, *key, *token, schedule))
	return alone.Serve(ctx, l, p)
}

// turns is how many weeks of shifts there are.
const turns = 52

// seed makes two people who take turns, a week each, from the last midnight on.
func seed(p *pagerdutyfake.PagerDuty) pagerdutyfake.Schedule {
	ann := p.AddUser(pagerdutyfake.User{Name: "Ann Moreau", Email: "ann@boutique.example"})
	bob := p.AddUser(pagerdutyfake.User{Name: "Bob Okafor", Email: "bob@boutique.example"})
	s := pagerdutyfake.Schedule{ID: "PONCALL", Name: "Shop"}
	start := time.Now().UTC().Truncate(24 * time.Hour)
	for i := range turns {
		user := ann
		if i%2 == 1 {
			user = bob
		}
		end := start.AddDate(0, 0, 7)
		s.Shifts = append(s.Shifts, pagerdutyfake.Shift{User: user.ID, Start: start, End: end})
		start = end
	}
	return p.AddSchedule(s)
}

// hint says what Muster has to be told, and how to try it by hand.
func hint(url, key, token string, s pagerdutyfake.Schedule) string {
	return fmt.Sprintf(`For Muster's configuration, and onCall: %s for a module:

server:
  pagerduty: {routingKey: "${PAGERDUTY_ROUTING_KEY}", token: "${PAGERDUTY_TOKEN}", eventsURL: %q, apiURL: %q}

And where Muster is started:

export PAGERDUTY_ROUTING_KEY=%s PAGERDUTY_TOKEN=%s

To try it by hand:

curl -d '{"routing_key":"%s","event_action":"trigger","dedup_key":"try","payload":{"summary":"It burns","source":"me","severity":"critical"}}' %s/v2/enqueue
curl -H 'Authorization: Token token=%s' '%s/oncalls?schedule_ids[]=%s&include[]=users'
`, s.ID, url, url, key, token, key, url, token, url, s.ID)
}
