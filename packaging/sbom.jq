# A bill of materials (CycloneDX 1.5) from what the programs say of themselves:
#   go version -m -json virbrd virbr ... | jq -s --arg version 1.2.3 --arg time ... -f sbom.jq
def library: {type: "library", name: .Path, version: .Version, purl: "pkg:golang/\(.Path)@\(.Version)", "bom-ref": "pkg:golang/\(.Path)@\(.Version)"};
def go: {Path: "std", Version: .GoVersion} | library;
def ref: "pkg:golang/github.com/virbr/virbr@v\($version)";
map(. + {name: (.Path | split("/") | last)}) as $programs | {
	bomFormat: "CycloneDX",
	specVersion: "1.5",
	version: 1,
	metadata: {
		timestamp: $time,
		component: {
			type: "application", name: "virbr", version: $version, purl: ref, "bom-ref": ref,
			licenses: [{license: {id: "Apache-2.0"}}],
			components: ($programs | map({type: "application", name, version: $version, "bom-ref": "\(ref)#\(.Path | ltrimstr("github.com/virbr/virbr/"))"}))
		}
	},
	components: ($programs | map((.Deps[]? | library), go) | unique_by(."bom-ref")),
	dependencies: ($programs | map({ref: "\(ref)#\(.Path | ltrimstr("github.com/virbr/virbr/"))", dependsOn: ([(.Deps[]? | library), go] | map(."bom-ref"))}))
}
