package gitlabfake

// Sign is what deliveries are signed with, for tests against the specification's example.
var Sign = sign

// Paths are the routes of the API, as "GET projects/:id".
func Paths() []string {
	var all []string
	for _, r := range routes() {
		all = append(all, r.method+" "+r.path)
	}
	return all
}
