package cli

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/virbr/virbr/schemas"
	"github.com/virbr/virbr/xml"
)

func newCheck(io IO) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check FILE...",
		Short: "Check definitions of networks and network ports",
		Long: `Check network and network-port definitions: that they are well-formed, follow the
schema, obey libvirt's rules, and make a dnsmasq configuration and firewall
rules that are sound; that the extensions in their metadata do, too, and target
guests of the network. Nothing is started and no daemon is asked.

Each complaint is one line, "file:line: message". The exit status is 1 if there
is any complaint, and 0 with no output if all files are in order.`,
		Example: "  virbr check *.xml\n  virsh net-dumpxml default | virbr check -\n  virbr check --json net.xml",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{fmt.Errorf("%s: FILE is missing", cmd.CommandPath())}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			problems := []*problem{}
			schema := schemas.New()
			for _, path := range args {
				problems = append(problems, checkFile(path, schema, io)...)
			}
			return report(io, problems, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an array of {file, line, message} instead")
	return cmd
}

// report prints all complaints; the error is errReported if there are any.
func report(io IO, problems []*problem, asJSON bool) error {
	if asJSON {
		if err := writeJSON(io, problems); err != nil {
			return err
		}
	} else {
		p := painterFor(io.Out)
		for _, c := range problems {
			if err := write(io.Out, p.bold(c.place())+" "+p.red(c.Message)+"\n"); err != nil {
				return err
			}
		}
	}
	if len(problems) > 0 {
		return errReported
	}
	return nil
}

// checkFile returns what is wrong with one file.
func checkFile(path string, schema *schemas.Validator, io IO) []*problem {
	doc, err := readDocument(path, io.In)
	if err != nil {
		return complaints(doc, err)
	}
	root, err := xml.ParseTree(doc.text)
	if err != nil {
		return complaints(doc, err)
	}
	doc.line = root.Line
	switch root.Name {
	case "network":
		return complaints(doc, schema.ValidateNetwork(doc.text), checkNetwork(doc))
	case "networkport":
		_, err := xml.ParsePort(doc.text)
		return complaints(doc, schema.ValidatePort(doc.text), err)
	}
	return complaints(doc, fmt.Errorf("unexpected root element <%s>, expecting <network> or <networkport>", root.Name))
}

// checkNetwork is everything that is asked of a network beyond the schema.
func checkNetwork(doc document) error {
	def, err := xml.ParseNetwork(doc.text)
	if err != nil {
		return err
	}
	if err := def.Validate(); err != nil {
		return err
	}
	c, err := compose(def)
	if err != nil {
		return err
	}
	_, files := compileDnsmasq(def)
	_, rules := c.rules()
	return errors.Join(files, rules)
}

// complaints makes one complaint of each error, in the order of lines. Two
// readers that stumble over the same line complain once, the first of them. That
// does not hold for the line of the whole, where unrelated complaints meet.
func complaints(doc document, errs ...error) []*problem {
	var list []*problem
	for _, err := range flatten(errs) {
		p, ok := errors.AsType[*problem](err)
		if !ok {
			p = doc.at(err)
		}
		sameLine := func(other *problem) bool { return p.Line != doc.line && other.Line == p.Line }
		if !slices.ContainsFunc(list, sameLine) {
			list = append(list, p)
		}
	}
	slices.SortStableFunc(list, func(a, b *problem) int { return a.Line - b.Line })
	return list
}

// flatten takes joined errors apart and leaves nil out.
func flatten(errs []error) []error {
	var list []error
	for _, err := range errs {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			list = append(list, flatten(joined.Unwrap())...)
		} else if err != nil {
			list = append(list, err)
		}
	}
	return list
}
