package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/virbr/virbr/schemas"
	"github.com/virbr/virbr/xml"
)

func newSchema(io IO) *cobra.Command {
	return &cobra.Command{
		Use:   "schema [NAME]",
		Short: "Print the JSON schema of what virbr prints with --json",
		Long: `Print the JSON schema (https://json-schema.org, draft 2020-12) of what a command prints
with --json, for programs that read it, and of the extensions of a network in JSON. Without
NAME the schemas are listed.

The number at the end of "$id" is raised when something is taken away or means something
else. Fields may be added under the same number.`,
		Example: "  virbr schema\n  virbr schema status > status.schema.json",
		Args:    atMost("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return write(io.Out, strings.Join(schemas.Forms(), "\n")+"\n")
			}
			text := schemas.Form(args[0])
			if text == "" {
				return usageError{fmt.Errorf("%s: there is no schema %q; known are %s", cmd.CommandPath(), args[0], strings.Join(schemas.Forms(), ", "))}
			}
			return write(io.Out, text)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return schemas.Forms(), cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// renderJSON prints extensions in JSON.
func renderJSON(def *xml.Network) (string, error) {
	ext, err := def.Extensions()
	if err != nil {
		return "", err
	}
	text, err := json.MarshalIndent(ext, "", "  ")
	return string(text) + "\n", err
}

func newRenderMetadata(io IO) *cobra.Command {
	cmd := rendering{"metadata", "Print extensions that are written in JSON as the element in the metadata",
		`Print the element <virbr:network> that extensions in JSON stand for, as it is put into
the <metadata> of a network. "virbr schema extensions" describes the JSON, and
"virbr render json" prints that of a network.`, func(doc document) (string, error) {
			var ext xml.Extensions
			if err := json.Unmarshal(doc.text, &ext); err != nil {
				return "", doc.at(err)
			}
			return ext.String(), nil
		}}.command(io)
	cmd.Example = "  virbr render metadata web.json\n  echo '{\"ipv6\": {\"advprefix\": \"ula\"}}' | virbr render metadata -"
	return cmd
}
