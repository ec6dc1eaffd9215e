package jira

// label marks the release issue of a run. Runs are numbered within one Muster.
func (j *Jira) label(run string) string {
	if j.o.Instance != "" {
		return "muster-" + j.o.Instance + "-" + run
	}
	return "muster-" + run
}
